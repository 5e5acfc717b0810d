// Package wrap is a program around package runner that needs no broker: tests re-execute
// themselves as it. What a lock does is done by options: a lease that ends, a file that
// says "lost".
package wrap

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/goleak"

	"github.com/amqprun/amqprun/internal/sys"
	"github.com/amqprun/amqprun/runner"
	"github.com/amqprun/amqprun/signals"
)

// ExitLost is the exit code for a command that was stopped, as in amqprun.
const ExitLost = 76

// Word as the first argument makes a test binary this program.
const Word = "wrap"

// Main is the test binary's main function when its first argument is Word, or when it is
// the guard. It returns the exit code.
func Main() (code int, mine bool) {
	if runner.IsGuard() {
		return runner.RunGuard(), true
	}
	if len(os.Args) > 1 && os.Args[1] == Word {
		return run(os.Args[2:]), true
	}
	return 0, false
}

type options struct {
	stop       string
	killAfter  time.Duration
	orphans    int
	lease      time.Duration
	renew      time.Duration
	until      time.Duration
	stopAfter  time.Duration
	lose       string
	verify     string
	verifyFIFO string
	keep       string
	keepWhen   string
	guard      bool
	verbose    bool
	statusFile string
	long       bool
	leaks      bool
	churn      bool
	oldKernel  bool
	changed    string
	regain     string
}

func parse(args []string) (options, []string, error) {
	var o options
	f := flag.NewFlagSet(Word, flag.ContinueOnError)
	f.StringVar(&o.stop, "signal", "TERM", "sent on loss")
	f.DurationVar(&o.killAfter, "kill-after", 5*time.Second, "grace")
	f.IntVar(&o.orphans, "orphans", 0, "0 leave, 1 wait, 2 kill")
	f.DurationVar(&o.lease, "lease", 0, "the lock lasts that long and no longer")
	f.DurationVar(&o.renew, "renew", 0, "but it is renewed that often")
	f.DurationVar(&o.until, "until", 0,
		"the tree has to be dead by then, but the lock is not lost before -lose")
	f.DurationVar(&o.stopAfter, "stop-after", 0,
		"with -until: the guard stops the command after that time")
	f.StringVar(&o.lose, "lose", "", "a FIFO: the lock is lost when it is opened for writing")
	f.StringVar(&o.verify, "verify", "",
		"verification fails while this file exists, and leaves a FILE.asked")
	f.StringVar(&o.verifyFIFO, "verify-fifo", "",
		"verification lasts until somebody opens this FIFO for writing")
	f.StringVar(&o.keep, "keep", "", "a TCP address: connect, and give the guard the connection")
	f.StringVar(&o.keepWhen, "keep-when", "", "with -keep: start no guard before this file exists")
	f.BoolVar(&o.guard, "guard", false, "have a guard")
	f.BoolVar(&o.verbose, "v", false, "verbose")
	f.StringVar(&o.statusFile, "status", "", "write what Run returned here")
	f.BoolVar(&o.long, "long", false, "give the command an argument that is too long")
	f.BoolVar(&o.leaks, "leaks", false, "fail if a goroutine is left")
	f.BoolVar(&o.churn, "churn", false, "let threads end all the time")
	f.StringVar(&o.changed, "changed", "",
		"a FIFO: something has changed each time that it is opened for writing")
	f.StringVar(&o.regain, "regain", "", "a FIFO: a loss pauses the command until it is opened for "+
		"writing; while FIFO.never exists it is stopped then, and while FIFO.again exists the lock is "+
		"lost again at once")
	f.BoolVar(&o.oldKernel, "old-kernel", false,
		"refuse the system calls that an old kernel does not have")
	err := f.Parse(args)
	return o, f.Args(), err
}

func run(args []string) int {
	o, command, err := parse(args)
	if err != nil {
		return 64
	}
	if o.oldKernel {
		if err := asOldKernel(); err != nil {
			return fail(err)
		}
	}
	stop, err := signals.Parse(o.stop)
	if err != nil {
		return fail(err)
	}
	signalled, caught := signals.Notify()
	<-caught
	signals.NotifyRealTime(signalled)
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	id := strconv.Itoa(os.Getpid()) + "-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	warn := func(format string, args ...any) { fmt.Fprintf(os.Stderr, "wrap: "+format+"\n", args...) }
	c := &runner.Command{
		Args: command, Env: append(os.Environ(), "AMQPRUN_ID="+id), ID: id, Signals: signalled,
		Stop: stop, KillAfter: o.killAfter, Orphans: runner.Orphans(o.orphans), Warnf: warn,
	}
	if o.verbose {
		c.Logf = warn
	}
	if o.long {
		c.Args = append(c.Args, strings.Repeat("x", 1<<20)) // Linux takes 128 KiB
	}
	if c.Guard, err = startGuard(o); err != nil {
		return fail(err)
	}
	o.hold(ctx, c, cancel)
	if o.churn {
		go churn(ctx)
	}
	before := goleak.IgnoreCurrent()
	status, err := c.Run(ctx)
	if o.leaks {
		if leaked := goleak.Find(before); leaked != nil {
			return fail(leaked)
		}
	}
	return o.exit(status, err)
}

// churn starts threads that end: a goroutine that ends while it is locked to its thread
// takes the thread with it. One that started a command takes the command along.
func churn(ctx context.Context) {
	for ctx.Err() == nil {
		for range 10 {
			go func() {
				runtime.LockOSThread()
				<-time.After(time.Millisecond)
			}()
		}
		<-time.After(5 * time.Millisecond)
	}
}

// hold sets up what stands for the lock.
func (o options) hold(ctx context.Context, c *runner.Command, lose context.CancelCauseFunc) {
	if o.verify != "" {
		c.Verify = o.verifyFile
	}
	if o.verifyFIFO != "" {
		c.Verify = func(context.Context) error { return await(o.verifyFIFO) }
	}
	if o.regain != "" {
		c.Pause = &runner.Pause{
			Possible: func(lost error) bool { return errors.Is(lost, errLost) },
			Regain: func(ctx context.Context) (context.Context, error) {
				return o.regained(ctx, c.Guard)
			},
		}
	}
	if o.lose != "" {
		go func() {
			_ = await(o.lose)
			lose(errLost)
		}()
	}
	if o.changed != "" {
		changed := make(chan struct{})
		c.Changed = changed
		go func() {
			for await(o.changed) == nil {
				changed <- struct{}{}
			}
		}()
	}
	if o.until != 0 {
		end := sys.Boottime() + o.until
		c.Until = func() time.Duration { return end }
		if o.stopAfter != 0 {
			c.Guard.Renew(sys.Boottime()+o.stopAfter, end)
		}
	}
	if o.lease != 0 {
		o.keepLease(ctx, c, lose)
	}
}

// keepLease sets up a lease that is renewed, or runs out.
func (o options) keepLease(
	ctx context.Context, c *runner.Command, lose context.CancelCauseFunc,
) {
	var end atomic.Int64
	c.Until = func() time.Duration { return time.Duration(end.Load()) }
	renew := func() {
		end.Store(int64(sys.Boottime() + o.lease))
		c.Guard.Renew(c.Until()-o.killAfter, c.Until())
	}
	renew()
	go func() {
		for {
			stopAt := c.Until() - o.killAfter
			pause := stopAt - sys.Boottime()
			if o.renew != 0 {
				pause = min(pause, o.renew)
			}
			select {
			case <-time.After(pause):
			case <-ctx.Done(): // a lock that is lost has no more renewals
				return
			}
			if sys.Boottime() >= stopAt {
				lose(errors.New("the lease has ended"))
				return
			}
			renew()
		}
	}()
}

var errLost = errors.New("lost by order")

// regained is for runner.Pause.
func (o options) regained(ctx context.Context, g *runner.Guard) (context.Context, error) {
	fmt.Fprintln(os.Stderr, "wrap: paused")
	if kept != nil {
		_ = kept.Close()
	}
	opened := make(chan error, 1)
	go func() { opened <- await(o.regain) }()
	select {
	case err := <-opened:
		if err != nil {
			return nil, err
		}
	case <-ctx.Done():
		return nil, context.Cause(ctx) // await ends with the process
	}
	if _, err := os.Stat(o.regain + ".never"); err == nil {
		return nil, errLost
	}
	if err := o.connect(g); err != nil {
		return nil, err
	}
	next, lose := context.WithCancelCause(context.Background())
	if _, err := os.Stat(o.regain + ".again"); err == nil {
		lose(errLost)
		return next, nil
	}
	go func() {
		_ = await(o.lose)
		lose(errLost)
	}()
	return next, nil
}

// await waits for a writer of a FIFO: opening it for reading does.
func await(fifo string) error {
	f, err := os.OpenFile(fifo, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

func (o options) verifyFile(context.Context) error {
	f, err := os.OpenFile(o.verify+".asked", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	fmt.Fprintln(f, "asked")
	if _, err := os.Stat(o.verify); err == nil {
		return errors.New("verification failed")
	}
	return nil
}

func startGuard(o options) (*runner.Guard, error) {
	if !o.guard {
		return nil, nil
	}
	g := runner.NewGuard()
	return g, o.connect(g)
}

// connect makes the connection of -keep.
func (o options) connect(g *runner.Guard) (err error) {
	if o.keep == "" {
		return nil
	}
	if kept, err = net.Dial("tcp", o.keep); err == nil {
		g.KeepSocket(lateConn{kept.(syscall.Conn), o.keepWhen})
	}
	return err
}

// lateConn keeps the guard from its start, which needs the connection, until a file
// exists. Without a name it keeps nothing.
type lateConn struct {
	syscall.Conn
	file string
}

func (c lateConn) SyscallConn() (syscall.RawConn, error) {
	for c.file != "" {
		if _, err := os.Stat(c.file); err == nil {
			break
		}
		<-time.After(time.Millisecond)
	}
	return c.Conn.SyscallConn()
}

// kept is the connection of -keep.
var kept net.Conn

func (o options) exit(status runner.Status, err error) int {
	if o.statusFile != "" {
		line := fmt.Sprintf("started=%t stopped=%t unfinished=%t took=%v paused=%t err=%v\n",
			status.Started, status.Stopped, status.Unfinished, status.StopTook, status.Paused > 0, err)
		if err := os.WriteFile(o.statusFile, []byte(line), 0o600); err != nil {
			return fail(err)
		}
	}
	var start *runner.StartError
	var by *runner.Interrupted
	switch {
	case errors.As(err, &by):
		return 128 + int(by.Signal)
	case errors.As(err, &start):
		fail(err)
		return start.Code
	case err != nil:
		fail(err)
		return ExitLost
	}
	if s, ok := status.Signal(); ok && s == syscall.SIGINT {
		signals.DieOf(s)
	}
	return status.ExitCode()
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "wrap: error:", err)
	return 125
}
