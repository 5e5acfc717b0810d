package job

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"al.essio.dev/pkg/shellescape"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/internal/console"
	"github.com/amqprun/amqprun/internal/hold"
	"github.com/amqprun/amqprun/signals"
)

// HoldSpec is a lock to hold for another process. It has no use for the command in its
// Spec.
type HoldSpec struct {
	Spec
	Max  time.Duration // 0: without a limit
	Kill bool          // also send SIGKILL, StopTime after the stop signal
	Log  *os.File      // nil: no messages once it is held
}

// Hold takes the lock and holds it until it is asked to release. It also releases when
// the process has ended, when the lock is lost, and when Max is over. The error is nil if
// the lock was granted.
func Hold(s HoldSpec, c *console.Console, control *hold.Control) error {
	k := &keeper{spec: s, c: c, process: control.Process, asked: make(chan struct{}),
		released: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	k.ended = k.process.Ended(ctx)
	k.sigs, k.caught = signals.Notify()
	lock, err := k.acquire(control)
	if err != nil {
		return err
	}
	k.lock = lock
	socket, err := k.detach()
	if err != nil {
		_ = release(lock)
		return err
	}
	serving := make(chan struct{})
	go func() {
		defer close(serving)
		socket.Serve(k.release, k.locks)
	}()
	go func() { // beside keep: a starter that is stopped takes nothing and drops nothing
		if !control.Hand(k.text(socket.Path)) || control.Dropped() {
			k.ask()
		}
	}()
	k.keep()
	socket.Close(k.marked)
	<-serving
	return nil
}

// keeper holds a lock for a process.
type keeper struct {
	spec    HoldSpec
	c       *console.Console
	process *hold.Process
	ended   <-chan struct{} // of the process
	sigs    chan os.Signal
	caught  <-chan struct{}
	lock    *amqplock.Lock

	once     sync.Once
	asked    chan struct{} // closed when somebody wants the lock to be released
	released chan struct{} // closed when answer is set
	answer   hold.Answer
	marked   bool // the lock was lost, and nobody has asked yet

	mu   sync.Mutex
	lost bool
}

// acquire waits for the lock. The wait also ends when nobody wants the lock any more:
// with the amqprun that was called, and with the process.
func (k *keeper) acquire(control *hold.Control) (*amqplock.Lock, error) {
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-control.Abandoned():
		case <-k.ended:
		case <-done:
			return
		}
		select {
		case k.sigs <- syscall.SIGHUP:
		case <-done:
		}
	}()
	lock, err := acquire(k.spec.Spec, k.c, k.sigs, nil)
	<-k.caught
	return lock, err
}

// detach makes us a process of the background, and the socket on which it is asked.
func (k *keeper) detach() (*hold.Socket, error) {
	socket, err := hold.Listen(k.lock.String(), k.process)
	if err != nil {
		return nil, fmt.Errorf("cannot make a socket for amqprun release: %w", err)
	}
	if err := hold.Detach(k.spec.Log); err != nil {
		socket.Close(false)
		return nil, fmt.Errorf("cannot go to the background: %w", err)
	}
	return socket, nil
}

// text is what a shell evaluates.
func (k *keeper) text(socket string) string {
	var b strings.Builder
	b.WriteString("unset " + slotsFileVariable + " " + tokenVariable + "\n")
	variables := append(lockVariables(k.spec.Spec, numbered(k.lock.Slots()), k.lock.Token()),
		hold.Variable+"="+socket)
	for _, entry := range variables {
		name, value, _ := strings.Cut(entry, "=")
		fmt.Fprintf(&b, "export %s=%s\n", name, shellescape.Quote(value))
	}
	return b.String()
}

// keep holds the lock for as long as it is wanted.
func (k *keeper) keep() {
	var over <-chan time.Time
	if k.spec.Max > 0 {
		// The timer stands still while the machine is suspended. A suspension for longer than
		// the lease ends the hold anyway.
		timer := time.NewTimer(k.spec.Max)
		defer timer.Stop()
		over = timer.C
	}
	what, ending := k.lock.String(), k.ending()
	select {
	case <-k.asked:
		k.end("")
		return
	case <-k.ended:
		k.c.Stepf("process %d has ended: %s is released", k.process.PID, what)
		k.end("")
		return
	case <-k.lock.Context().Done():
		k.stop(context.Cause(k.lock.Context()).Error())
	case <-over:
		over = nil
		k.stop(fmt.Sprintf("%s was held for %s, and was released then", what, k.spec.Max))
	case s := <-ending:
		k.stop(fmt.Sprintf("the process that held %s got %s", what, signals.Name(s)))
		k.marked = true
		return
	}
	switch {
	case k.process != nil:
		over = nil // it may ask as long as it lives
	case over == nil:
		k.marked = true
		return // nobody to stay for
	}
	select { // somebody may still ask
	case <-k.asked:
	case <-k.ended:
	case <-over:
		k.marked = true
	case <-ending:
		k.marked = true
	}
}

// stop has the process end, and then releases the lock.
func (k *keeper) stop(why string) {
	k.mu.Lock()
	k.lost = true
	k.mu.Unlock()
	k.c.Warnf("%s", why)
	if k.process != nil {
		_ = k.process.Signal(k.spec.StopSignal)
		timer := time.NewTimer(k.spec.StopTime)
		defer timer.Stop()
		select {
		case <-k.ended:
		case <-k.asked:
		case <-timer.C:
			if k.spec.Kill {
				_ = k.process.Signal(syscall.SIGKILL)
			}
		}
	}
	k.end(why)
}

// end releases the lock, and answers those who have asked for that.
func (k *keeper) end(lost string) {
	if err := release(k.lock); err != nil && lost == "" {
		lost = err.Error()
	}
	k.answer = hold.Answer{Lost: lost}
	close(k.released)
}

// ending delivers the first signal that ends the hold. Call it once.
func (k *keeper) ending() <-chan syscall.Signal {
	ending := make(chan syscall.Signal, 1)
	go func() {
		for s := range k.sigs {
			if s != syscall.SIGTSTP && interrupts(s) {
				ending <- s.(syscall.Signal)
				return
			}
		}
	}()
	return ending
}

func (k *keeper) ask() { k.once.Do(func() { close(k.asked) }) }

// release is for the socket.
func (k *keeper) release() hold.Answer {
	k.ask()
	<-k.released
	return k.answer
}

// locks is for the socket.
func (k *keeper) locks() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.lost {
		return nil
	}
	select {
	case <-k.asked:
		return nil
	default:
		return lockKeys(k.spec.Spec)
	}
}

// Released makes an error of what Release of package hold has returned.
func Released(a hold.Answer, err error) error {
	switch {
	case err == nil && a.Lost == "":
		return nil
	case err == nil:
		return &amqplock.Error{Kind: amqplock.ErrLost, Text: a.Lost}
	case errors.Is(err, hold.ErrKilled):
		return &amqplock.Error{Kind: amqplock.ErrLost, Text: a.Lost, Err: err}
	case errors.Is(err, hold.ErrNone):
		return &amqplock.Error{
			Kind: amqplock.ErrNotFound, Text: "there is nothing to release", Err: err,
			Hint: "it was released before, or the process that it was held for has ended",
		}
	case errors.Is(err, hold.ErrForeign):
		return &amqplock.Error{
			Kind: amqplock.ErrAccess, Text: "the lock is held by another user's process", Err: err,
			Hint: "the user who has called amqprun hold can release it, and root",
		}
	}
	return &amqplock.Error{
		Kind: amqplock.ErrUnreachable, Err: err,
		Text: fmt.Sprintf("the process that holds the lock does not answer: %v", err),
	}
}
