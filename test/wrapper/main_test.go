// Package wrapper tests the process wrapper with real processes, terminals and shells.
// The test binary runs itself again as the wrapper (package wrap), so that the reaper
// under test does not collect the children of the tests.
package wrapper

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/amqprun/amqprun/signals"
	"github.com/amqprun/amqprun/test/program"
	"github.com/amqprun/amqprun/test/wrapper/wrap"
)

// patience bounds every wait for something that must happen. It only ends a test that
// would hang, and says nothing about speed.
const patience = time.Minute

func TestMain(m *testing.M) {
	if code, mine := wrap.Main(); mine {
		os.Exit(code)
	}
	if len(os.Args) == 3 {
		switch os.Args[1] {
		case "print-signals":
			os.Exit(printSignals(os.Args[2], true))
		// with GODEBUG=asyncpreemptoff=1, or the runtime's own would be among them
		case "print-all-signals":
			signal.Notify(all)
			os.Exit(printSignals(os.Args[2], true))
		case "count-terms":
			os.Exit(printSignals(os.Args[2], false))
		case "tick":
			os.Exit(tick(os.Args[2]))
		}
	}
	// Most tests wait for processes. Each has its own, and its own terminal and lock, so
	// many can wait at once.
	flag.Parse()
	if !flagIsSet("test.parallel") {
		_ = flag.Set("test.parallel", "12")
	}
	os.Exit(program.Clean(m.Run))
}

func flagIsSet(name string) (set bool) {
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	return set
}

var all = make(chan os.Signal, 64)

// printSignals appends "ready" and then the name of each signal it gets to file; SIGTERM
// ends it with status 3, or does not.
func printSignals(file string, mortal bool) int {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 1
	}
	defer f.Close()
	c := all
	for _, s := range signals.Forwarded {
		if s != syscall.SIGCONT || mortal {
			signal.Notify(c, s)
		}
	}
	fmt.Fprintln(f, "ready")
	for s := range c {
		fmt.Fprintln(f, s)
		if s == syscall.SIGTERM && mortal {
			return 3
		}
	}
	return 0
}

// tick writes its pid to the file pid and then appends a line to file every 10 ms. It is
// no shell loop, because a shell whose child is stopped between vfork and exec does not
// stop itself: nobody's Ctrl-Z works then.
func tick(file string) int {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 1
	}
	defer f.Close()
	terms := make(chan os.Signal, 1)
	signal.Notify(terms, syscall.SIGTERM)
	if err := os.WriteFile("pid", []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
		return 1
	}
	for {
		select {
		case <-time.After(10 * time.Millisecond):
			fmt.Fprintln(f, "run")
		case <-terms:
			fmt.Fprintln(f, "term")
			return 0
		}
	}
}
