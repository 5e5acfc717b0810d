package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/amqprun/amqprun/internal/console"
	"github.com/amqprun/amqprun/internal/exit"
	"github.com/amqprun/amqprun/runner"
)

// TestTimesThatDoNotFit: the hint names options and values, and they do fit.
func TestTimesThatDoNotFit(t *testing.T) {
	t.Parallel()
	check := func(args string) error {
		o := new(options)
		line := append(strings.Fields("amqprun --mutex m "+args), "true")
		var err error
		if o.args, o.given, err = parse(line, runOptions(o)); err != nil {
			t.Fatal(args, err)
		}
		_, err = specOf(o)
		return err
	}
	for args, want := range map[string]string{
		"--kill-after 20":                       "--kill-after 11s, or --heartbeat 17s",
		"--check-interval 30":                   "--heartbeat 25s",
		"--heartbeat 2":                         "--heartbeat 6s",
		"--heartbeat 3 --kill-after 1.3":        "--kill-after 1.2s, or --heartbeat 4s",
		"--kill-after 20 --heartbeat 1.5":       "",
		"--check-interval 14s --kill-after 1ms": "--heartbeat 11s",
		"--kill-after 1000000":                  "--kill-after 11s",
		"--kill-after 9223372036":               "--kill-after 11s",
		"--check-interval 9223372036":           "a shorter --check-interval",

		"--on-loss pause --heartbeat 2 --check-interval 2 --kill-after 0.5": "--check-interval 1.8s, " +
			"or --heartbeat 3s",
		"--on-loss pause --kill-after 20 --check-interval 13.5": "--heartbeat 24s",
	} {
		if strings.Contains(args, "pause") && !runner.CanPause {
			continue
		}
		err := check(args)
		got := strings.TrimPrefix(exit.Hint(err), "what fits: ")
		if exit.Status(err) != exit.Usage || got != want {
			t.Errorf("%s: %v, hint %q, want %q", args, err, got, want)
			continue
		}
		if !strings.HasPrefix(want, "-") {
			continue
		}
		for hint := range strings.SplitSeq(want, ", or ") {
			if err := check(args + " " + hint); err != nil {
				t.Errorf("%s: %v", args+" "+hint, err)
			}
		}
	}
}

// TestProgressNeedsAReader changes the environment of its process.
func TestProgressNeedsAReader(t *testing.T) {
	for _, test := range []struct {
		ci, variable, option string
		want                 time.Duration
	}{
		{want: console.OnTerminal},
		{ci: "true", want: 30 * time.Second},
		{option: "--progress=5", want: 5 * time.Second},
		{variable: "6", want: 6 * time.Second},
		{ci: "true", option: "--progress=0", want: 0},
	} {
		t.Setenv("CI", test.ci)
		t.Setenv("AMQPRUN_PROGRESS", test.variable)
		o := new(options)
		line := strings.Fields("amqprun --mutex m " + test.option + " true")
		if _, _, err := parse(line, runOptions(o)); err != nil {
			t.Fatal(err)
		}
		if o.Progress != test.want {
			t.Errorf("%+v: %v", test, o.Progress)
		}
	}
}
