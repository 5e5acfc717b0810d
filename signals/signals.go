// Package signals holds the signal names and sets of amqprun, and the one way to die of a
// signal.
package signals

import (
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Forwarded is the set that reaches the command, verbatim. It has no fault (SEGV, BUS,
// ILL, FPE, TRAP, SYS, ABRT), and no signal that speaks of amqprun itself. With URG the
// Go runtime preempts threads, CHLD is for children of amqprun, PIPE for its standard
// error, XCPU and XFSZ for its own limits. It must not be changed.
var Forwarded = slices.Concat(common, realTime)

// common is the part of Forwarded that a person or an init system sends.
var common = slices.Concat([]syscall.Signal{
	syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM,
	syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH, syscall.SIGCONT,
	syscall.SIGALRM, syscall.SIGVTALRM, syscall.SIGIO,
}, commonHere)

// highest is the last signal number of Linux (SIGRTMAX). Other systems have fewer and
// refuse the rest themselves.
const highest = 64

// Parse returns the signal called name: TERM, SIGTERM, term or 15. The error lists the
// names.
func Parse(name string) (syscall.Signal, error) {
	if n, err := strconv.Atoi(name); err == nil && n >= 1 && n <= highest {
		return syscall.Signal(n), nil
	}
	upper := strings.ToUpper(name)
	if s := unix.SignalNum("SIG" + strings.TrimPrefix(upper, "SIG")); s != 0 {
		return s, nil
	}
	return 0, fmt.Errorf("no signal is called %q; there are %s, and the numbers 1 to %d",
		name, strings.Join(names(), " "), highest)
}

func names() []string {
	var list []string
	for n := syscall.Signal(1); n <= highest; n++ {
		if name := unix.SignalName(n); name != "" {
			list = append(list, strings.TrimPrefix(name, "SIG"))
		}
	}
	return list
}

// Name returns SIGTERM for signal 15, and SIG40 for one that has no name of its own.
func Name(s syscall.Signal) string {
	if name := unix.SignalName(s); name != "" {
		return name
	}
	return fmt.Sprintf("SIG%d", int(s))
}

// Notify starts to catch SIGTSTP, SIGPIPE, and the forwarded set but for its real-time
// signals. Ctrl-Z stops the command before amqprun. With SIGPIPE caught a closed standard
// error gives an error instead of a death. HUP and INT that were ignored on entry stay
// ignored, here and for the command: nohup and background jobs of scripts rely on it. Go
// does not say whether other signals were ignored.
//
// Notify returns at once, because to catch one signal takes 25 us of processor time. It
// closes caught when it has caught all. Until then all but SIGPIPE may have their default
// action. It never closes ch, and delivery ends with the process.
func Notify() (ch chan os.Signal, caught <-chan struct{}) {
	// os/signal drops what does not fit. A person or an init system sends no burst of 64
	// while the reader is busy.
	c, all := make(chan os.Signal, 64), make(chan struct{})
	signal.Notify(c, syscall.SIGPIPE) // the first message may go to a closed standard error
	go func() {
		defer close(all)
		for _, s := range slices.Concat(common, []syscall.Signal{syscall.SIGTSTP}) {
			if (s == syscall.SIGHUP || s == syscall.SIGINT) && signal.Ignored(s) {
				continue
			}
			signal.Notify(c, s)
		}
	}()
	return c, all
}

// NotifyRealTime has the real-time signals of the forwarded set delivered to ch too.
// Until then the Go runtime drops them. It takes a millisecond of processor time.
func NotifyRealTime(ch chan<- os.Signal) {
	for _, s := range realTime {
		signal.Notify(ch, s)
	}
}
