package runner

import (
	"context"
	"syscall"
	"time"

	"github.com/amqprun/amqprun/internal/sys"
)

// jobControl shares the terminal with the command, and stops and continues with it.
type jobControl struct {
	guarded
	verified chan error // receives Verify's answer; nil: it has not been asked
	ends     ends
	tstp     time.Duration // When SIGTSTP was passed on. 0: none follows.
	wants    bool          // The command gets the terminal when it goes on.
	resumed  bool          // We sent a SIGCONT that is still to be read.
}

// commandStopped is called when the command was stopped by s.
func (r *jobControl) commandStopped(ctx context.Context, s syscall.Signal) {
	asks := s == syscall.SIGTTIN || s == syscall.SIGTTOU
	if asks && r.terminal.give(r.leader.pid) {
		r.tstp = 0
		r.leader.signalGroup(syscall.SIGCONT)
		return
	}
	echo := isEcho(r.tstp, sys.Boottime())
	r.tstp = 0
	switch {
	case r.stopping:
		// A command has its grace to clean up, and not to lie still. One that wants the
		// terminal would only ask again.
		if !asks {
			r.leader.signalGroup(syscall.SIGCONT)
		}
	case !asks && s != syscall.SIGTSTP && !echo:
		// SIGSTOP: its sender has reasons, and sends SIGCONT when they are gone.
	case !echo && r.terminal.foreground() == 0:
		// There is no job control without a terminal.
	case !Resumable():
		// The kernel would not stop us, so the command goes on. A command that asked for
		// the terminal cannot get it, and would ask for ever. It gets what the kernel sends
		// to a stopped group that loses its shell.
		if asks {
			r.warnf("the command wants the terminal, and no shell can give it: sending SIGHUP")
			r.leader.signalGroup(syscall.SIGHUP)
		}
		r.leader.signalGroup(syscall.SIGCONT)
	default:
		r.suspend(ctx, s, asks, echo)
	}
}

// echoWithin is how long a command may take to stop after Ctrl-Z. Some put the terminal
// in order first, and then stop by SIGSTOP. One that stops later has ignored Ctrl-Z, and
// somebody else has stopped it.
const echoWithin = 5 * time.Second

// isEcho reports whether a stop at now may be the answer to a SIGTSTP that was passed on
// at then, 0 for never.
func isEcho(then, now time.Duration) bool { return then != 0 && now-then < echoWithin }

// suspend stops amqprun as its command was, so that the shell takes its terminal back,
// and asks for verification when it is resumed. With echo the signal came to our group
// first, so the rest of a pipeline has it already.
func (r *jobControl) suspend(ctx context.Context, s syscall.Signal, asks, echo bool) {
	r.startGuard() // while we are stopped, the guard alone enforces the lease
	r.wants = asks || r.terminal.foreground() == r.leader.pid
	if until := r.until(); until != 0 {
		left := max(until-sys.Boottime(), 0).Round(100 * time.Millisecond)
		r.warnf("stopped; the lock ends in %v unless resumed", left)
	}
	if s == syscall.SIGSTOP {
		s = syscall.SIGTSTP // by which the shell knows that it was Ctrl-Z
	}
	Suspend(s, !echo)
	r.resumed = true
	if r.c.Verify == nil {
		r.resume()
		return
	}
	r.verified = make(chan error, 1)
	go func(answer chan<- error) { answer <- r.c.Verify(ctx) }(r.verified)
}

// suspendLate suspends when Ctrl-Z came while the command was ending: the processes that
// it has left behind have stopped.
func (r *jobControl) suspendLate(ctx context.Context) {
	if isEcho(r.tstp, sys.Boottime()) && Resumable() {
		r.suspend(ctx, syscall.SIGTSTP, false, true)
	}
}

// answered takes Verify's answer. It resumes the command, or returns why it must not go
// on. After a loss in the same instant it does nothing: the end of ctx comes next.
func (r *jobControl) answered(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return err
	}
	r.verified = nil
	r.resume()
	return nil
}

// resume lets the command go on after a shell has resumed us in the foreground. The
// command gets the terminal if it had it or asked for it.
func (r *jobControl) resume() {
	if r.wants {
		r.terminal.give(r.leader.pid)
	}
	r.leader.signalGroup(syscall.SIGCONT)
}

// takeTerminalBack settles what a command with the terminal leaves open. A command that
// was killed could not restore the settings. And Ctrl-C has reached its group alone: a
// shell that runs a script in our group ends that only if it gets SIGINT too.
func (r *jobControl) takeTerminalBack() {
	if !r.terminal.takeBack(r.leader.pid) {
		return
	}
	s, killed := r.status.Signal()
	if killed {
		r.terminal.restore()
	}
	if _, throughUs := r.ends.last[syscall.SIGINT]; s == syscall.SIGINT && !throughUs && !r.stopping {
		interruptOthers()
	}
}
