package main

import (
	"errors"
	"math"
	"strconv"
	"syscall"
	"time"

	"github.com/amqprun/amqprun/runner"
	"github.com/amqprun/amqprun/signals"
	"github.com/urfave/cli/v2"
)

// Options that say how to reach the broker, or the manner, are also read from AMQPRUN_<OPTION>. Those that say which lock, how many, or
// whether to wait are not: they would leak into an amqprun that the command runs.

func value(set cli.Generic, name string, aliases ...string) *cli.GenericFlag {
	return &cli.GenericFlag{Name: name, Aliases: aliases, Value: set}
}

func fromEnv(f *cli.GenericFlag, variables ...string) *cli.GenericFlag {
	f.EnvVars = variables
	return f
}

func brokerFlags(o *options) []cli.Flag {
	b := &o.lock.Broker
	return []cli.Flag{
		value(urlList{&b.URLs}, "url"), // parseBroker reads the variables of these two
		&cli.StringFlag{Name: "url-file", Destination: &o.urlFile},
		&cli.StringFlag{Name: "password-file", Destination: &o.passwordFile, EnvVars: []string{"AMQPRUN_PASSWORD_FILE"}},
		&cli.StringFlag{Name: "cacert", Destination: &b.CACert, EnvVars: []string{"AMQPRUN_CACERT"}},
		&cli.StringFlag{Name: "cert", Destination: &b.Cert, EnvVars: []string{"AMQPRUN_CERT"}},
		&cli.StringFlag{Name: "key", Destination: &b.Key, EnvVars: []string{"AMQPRUN_KEY"}},
		fromEnv(value(duration{&b.ConnectTimeout, true}, "connect-timeout"), "AMQPRUN_CONNECT_TIMEOUT"),
		fromEnv(value(duration{&b.Heartbeat, true}, "heartbeat"), "AMQPRUN_HEARTBEAT"),
		&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Destination: &o.verbose, EnvVars: []string{"AMQPRUN_VERBOSE"}},
		fromEnv(value(logFormat{}, "log-format"), "AMQPRUN_LOG_FORMAT"),
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Destination: &o.quiet, EnvVars: []string{"AMQPRUN_QUIET"}},
	}
}

func semaphoreFlag() cli.Flag { return value(once{new(string)}, "semaphore") }
func mutexFlag() cli.Flag     { return value(once{new(string)}, "mutex") }

func conflictFlag(o *options) cli.Flag {
	o.conflictCode = exitNotAcquired
	return value(number{&o.conflictCode}, "conflict-exit-code", "E")
}

func runFlags(o *options) []cli.Flag {
	o.stopSignal, o.lock.StopTime, o.progress = syscall.SIGTERM, 5*time.Second, defaultProgress
	return append(brokerFlags(o),
		semaphoreFlag(), mutexFlag(),
		&cli.BoolFlag{Name: "nonblock", Aliases: []string{"n"}, Destination: &o.noWait},
		value(duration{d: &o.wait}, "wait", "w", "timeout"),
		conflictFlag(o),
		value(number{&o.lock.Slots}, "slots"),
		value(number{&o.lock.Count}, "count"),
		&cli.BoolFlag{Name: "greedy", Destination: &o.lock.Greedy},
		&cli.BoolFlag{Name: "elastic", Destination: &o.lock.Elastic},
		&cli.StringFlag{Name: "command", Aliases: []string{"c"}},
		fromEnv(value(signalValue{&o.stopSignal}, "signal", "s"), "AMQPRUN_SIGNAL"),
		fromEnv(value(duration{d: &o.lock.StopTime}, "kill-after", "k"), "AMQPRUN_KILL_AFTER"),
		fromEnv(value(duration{&o.lock.CheckInterval, true}, "check-interval"), "AMQPRUN_CHECK_INTERVAL"),
		value(orphansValue{&o.orphans}, "orphans"),
		fromEnv(value(duration{d: &o.progress}, "progress"), "AMQPRUN_PROGRESS"),
		&cli.StringFlag{Name: "report", Destination: &o.report},
		value(metadataValue{&o.metadata}, "metadata"),
		&cli.BoolFlag{Name: "hide-command", Destination: &o.hideCommand, EnvVars: []string{"AMQPRUN_HIDE_COMMAND"}},
		&cli.BoolFlag{Name: "version"},
	)
}

// duration is a time as people write it: 90, 1.5, 90s, 5m.
type duration struct {
	d        *time.Duration
	positive bool // 0 makes no sense
}

func (v duration) String() string {
	if v.d == nil {
		return ""
	}
	return v.d.String()
}

func (v duration) Set(text string) error {
	d, err := time.ParseDuration(text)
	if seconds, numberErr := strconv.ParseFloat(text, 64); numberErr == nil {
		d, err = time.Duration(seconds*float64(time.Second)), nil
		if seconds > math.MaxInt64/float64(time.Second) {
			return errors.New("too long")
		}
		if math.IsNaN(seconds) {
			d = -1
		}
	}
	if err != nil || d < 0 {
		return errors.New("not a time: write 90, 1.5, 90s or 5m")
	}
	if d == 0 && v.positive {
		return errors.New("must be more than 0")
	}
	*v.d = d
	return nil
}

// number is a whole number, in decimal also where it begins with 0.
type number struct{ n *int }

func (v number) String() string {
	if v.n == nil {
		return ""
	}
	return strconv.Itoa(*v.n)
}

func (v number) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil {
		return errors.New("must be a whole number")
	}
	*v.n = n
	return nil
}

// once is a name that may be given once: of two locks the first would be forgotten in silence.
type once struct{ s *string }

func (v once) String() string {
	if v.s == nil {
		return ""
	}
	return *v.s
}

func (v once) Set(text string) error {
	if *v.s != "" {
		return errors.New("given twice")
	}
	*v.s = text
	return nil
}

// signalValue is a signal by name or number.
type signalValue struct{ s *syscall.Signal }

func (v signalValue) String() string { return "" }

func (v signalValue) Set(text string) (err error) {
	*v.s, err = signals.Parse(text)
	return err
}

// orphansValue is what happens to processes left behind.
type orphansValue struct{ o *runner.Orphans }

func (v orphansValue) String() string { return "" }

func (v orphansValue) Set(text string) error {
	o, ok := map[string]runner.Orphans{"leave": runner.Leave, "wait": runner.Wait, "kill": runner.Kill}[text]
	if !ok {
		return errors.New("neither leave, wait nor kill")
	}
	*v.o = o
	return nil
}
