package runner

import (
	"context"
	"syscall"
	"time"

	"github.com/amqprun/amqprun/internal/sys"
)

// commandStopped is called when the command was stopped by s.
func (r *run) commandStopped(ctx context.Context, s syscall.Signal) {
	asks := s == syscall.SIGTTIN || s == syscall.SIGTTOU
	if asks && r.terminal.give(r.leader.pid) {
		r.paused = 0
		r.signalGroup(syscall.SIGCONT)
		return
	}
	paused := isEcho(r.paused, sys.Boottime())
	r.paused = 0
	switch {
	case r.stopping:
		// SIGKILL is near, and reaches stopped processes too.
	case !asks && s != syscall.SIGTSTP && !paused:
		// SIGSTOP: somebody has his reasons, and sends SIGCONT when they are gone.
	case !paused && r.terminal.foreground() == 0:
		// No terminal, no job control.
	case !Resumable():
		// The kernel would not stop us, as nobody could resume us; so the command goes on. A command that asked for the
		// terminal cannot get it, and would ask again for ever: it gets what the kernel sends to a stopped group that loses its shell.
		if asks {
			r.warnf("the command wants the terminal and there is no shell that could give it: sending SIGHUP")
			r.signalGroup(syscall.SIGHUP)
		}
		r.signalGroup(syscall.SIGCONT)
	default:
		r.suspend(ctx, s, asks, paused)
	}
}

// echoWithin is how long a command may take to stop after Ctrl-Z, to put the terminal in order, and then do it by SIGSTOP. Who stops later has
// ignored Ctrl-Z, and was stopped by somebody else.
const echoWithin = 5 * time.Second

// isEcho reports whether a stop at now may be the answer to a SIGTSTP that was passed on at then, 0 for never.
func isEcho(then, now time.Duration) bool { return then != 0 && now-then < echoWithin }

// suspend stops amqprun as its command was, so that the shell takes its terminal back, and asks for verification when it is
// resumed. paused: the signal came to our group first, so the rest of a pipeline has it already.
func (r *run) suspend(ctx context.Context, s syscall.Signal, asks, paused bool) {
	r.wants = asks || r.terminal.foreground() == r.leader.pid
	if until := r.until(); until != 0 {
		r.warnf("stopped; the lock ends in %v unless resumed", max(until-sys.Boottime(), 0).Round(100*time.Millisecond))
	}
	if s == syscall.SIGSTOP {
		s = syscall.SIGTSTP // the command's way to answer SIGTSTP; for us the polite one will do
	}
	Suspend(s, !paused)
	r.resumed = true
	if r.c.Verify == nil {
		r.resume()
		return
	}
	r.verified = make(chan error, 1)
	go func(answer chan<- error) { answer <- r.c.Verify(ctx) }(r.verified)
}

// resume lets the command go on, with the terminal if it had it, or asked for it, and we have been resumed in the foreground.
func (r *run) resume() {
	if r.wants {
		r.terminal.give(r.leader.pid)
	}
	r.signalGroup(syscall.SIGCONT)
}
