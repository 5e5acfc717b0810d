package amqplock

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Lock is a lock that the broker has granted. It is being checked until Release.
type Lock struct {
	session *session
	checks  []check
	granted time.Duration
	token   string // tells it from other holders of its slots
	lease   *lease

	ctx  context.Context
	lose context.CancelCauseFunc

	checking     context.Context // ends all that goes on in the background when Release begins
	stopChecking context.CancelFunc
	background   sync.WaitGroup // what ends with the connections
	talking      sync.WaitGroup // what uses the talk connection, and ends with checking
	alarm        alarm          // when the lease ends
	pacer        alarm          // when the next checks are due
	tripwire     tripwire
	changing     sync.Mutex // has who tells Config.OnChange of the set: the last to tell has the newest
	released     sync.Once
	releaseErr   error
}

// settling are the pauses between the first checks after a grant, at 0.02, 0.1, 0.3, 1 and 2 s. A granted exclusive queue can vanish without a word
// in the first milliseconds, when another's claim has died with its connection (https://github.com/rabbitmq/rabbitmq-server/pull/15276), and in
// the first second or two after another node of the cluster has died, or with 4.3 is back (https://github.com/rabbitmq/rabbitmq-server/issues/9798).
var settling = []time.Duration{20 * time.Millisecond, 80 * time.Millisecond, 200 * time.Millisecond, 700 * time.Millisecond, time.Second}

// newLock makes a lock of what the session has claimed, all of which was proven at sent.
func (s *session) newLock(sent time.Duration, ours bool) (*Lock, error) {
	alarm, err := s.cfg.clock.NewAlarm()
	if err != nil {
		return nil, err
	}
	pacer, err := s.cfg.clock.NewAlarm()
	if err != nil {
		alarm.Stop()
		return nil, err
	}
	l := &Lock{session: s, checks: s.checks(ours), granted: s.cfg.clock.Now(), token: rand.Text(), alarm: alarm, pacer: pacer}
	s.granted = true
	s.scouts.Store(s.newScout(nil))
	l.lease = newLease(s.hold.Config.Heartbeat, s.cfg.StopTime, l.checks)
	for i := range l.checks {
		l.lease.prove(i, sent)
	}
	l.ctx, l.lose = context.WithCancelCause(context.Background())
	l.checking, l.stopChecking = context.WithCancel(l.ctx)
	l.alarm.Set(l.lease.stopAt())
	l.renewed()
	l.background.Go(l.keepChecking)
	s.who.holds(l)
	l.background.Go(l.watch)
	l.talking.Go(l.prepareHandOver)
	s.cfg.Logf("acquired %s", l)
	return l, nil
}

// String names the lock as messages do: `mutex "name"`, `slots 2 and 5 of semaphore "name"`.
func (l *Lock) String() string { return l.session.describe(l.Slots()) }

// lockName is how messages call the lock.
func (s *session) lockName() string { return fmt.Sprintf("%s %q", s.cfg.Kind, s.cfg.Name) }

// describe is lockName with the slots in question.
func (s *session) describe(slots []int) string {
	if s.cfg.Kind == Mutex || len(slots) == 0 {
		return s.lockName()
	}
	numbers := make([]string, len(slots))
	for i, slot := range slots {
		numbers[i] = strconv.Itoa(slot)
	}
	if len(slots) == 1 {
		return fmt.Sprintf("slot %s of %s", numbers[0], s.lockName())
	}
	last := len(numbers) - 1
	return fmt.Sprintf("slots %s and %s of %s", strings.Join(numbers[:last], ", "), numbers[last], s.lockName())
}

// Slots are the numbers of the slots held, ascending, from 1; for a mutex the one number 0.
func (l *Lock) Slots() []int { return l.session.held.list() }

// Node is the one of Broker.Names that has granted the lock.
func (l *Lock) Node() string { return l.session.hold.broker }

// Context ends when the lock is lost, with a *LostError as its cause, and when it has been released. From a loss by silence Config.StopTime
// is left until another may hold the lock; after an abrupt one (the connection was closed, the queue deleted) another may hold it already.
func (l *Lock) Context() context.Context { return l.ctx }

// Until is the instant, on the clock of CLOCK_BOOTTIME, before which all work under the lock must have ended unless the lease is renewed.
// StopAt is when Context ends then.
func (l *Lock) Until() time.Duration { return l.lease.until() }

// StopAt is Config.StopTime before Until.
func (l *Lock) StopAt() time.Duration { return l.lease.stopAt() }

// Socket is the socket of the connection that holds the lock: as long as any process has it open, and for less than the lease, the lock
// stays. It is nil when a Broker.Dial made something that is no socket.
func (l *Lock) Socket() syscall.Conn {
	socket, _ := l.session.hold.socket.(syscall.Conn)
	return socket
}

// Verify asks the broker now whether the lock is held and returns nil if so. Where the answer or the lease says that it is lost it
// returns that *LostError and ends Context. It asks again while the answers prove nothing, and returns another error when ctx ends first.
func (l *Lock) Verify(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.ctx, cancel)() // no answer is waited for beyond the loss
	l.expire()
	for i, c := range l.checks {
		for {
			err := l.check(ctx, i, c)
			if err == nil {
				break
			}
			if l.session.hold.IsClosed() { // watch will say so too, perhaps later
				l.connectionEnded()
			}
			if l.ctx.Err() != nil {
				return context.Cause(l.ctx)
			}
			select {
			case <-time.After(settling[0]):
			case <-l.ctx.Done():
			case <-ctx.Done():
				return err
			}
		}
	}
	l.expire() // the answers are to questions from before
	return context.Cause(l.ctx)
}

// keepChecking runs all checks again and again, at the same instants: to wake up is most of what they cost. A check that hangs is left out until it
// is answered, or the connection is dropped; the lease runs meanwhile.
func (l *Lock) keepChecking() {
	defer l.pacer.Stop()
	clock, interval := l.session.cfg.clock, l.session.cfg.CheckInterval
	hangs := make([]atomic.Bool, len(l.checks))
	inVain := make(chan struct{}, 1) // one of them has proven nothing
	for n, due := 0, l.granted; ; n++ {
		pause := interval
		if n < len(settling) {
			pause = min(pause, settling[n])
		}
		if due += pause; clock.Now()-due > pause { // the machine has slept
			due = clock.Now()
		}
		var ok bool
		if due, ok = l.sleep(due, inVain); !ok {
			return
		}
		for i, c := range l.checks {
			if hangs[i].Swap(true) {
				continue
			}
			l.background.Go(func() {
				defer hangs[i].Store(false)
				begun := time.Now()
				err := l.check(l.checking, i, c)
				switch {
				case err == nil && n == 0:
					l.session.cfg.Logf("first %s of %s answered in %s", c.name, l, took(begun))
				case err == nil || l.checking.Err() != nil:
				default:
					if !errors.Is(err, errNoScout) {
						l.session.cfg.Logf("the %s of %s proved nothing: %v", c.name, l, oneLine(err))
					}
					select {
					case inVain <- struct{}{}:
					default:
					}
				}
			})
		}
	}
}

// afterVain is how long a check that has proven nothing is left before all are asked again.
const afterVain = time.Second

// sleep returns at the instant due, or afterVain after a check was in vain, if that is earlier, and tells which it was; and with false
// when Release begins.
func (l *Lock) sleep(due time.Duration, inVain <-chan struct{}) (woken time.Duration, ok bool) {
	clock := l.session.cfg.clock
	for l.pacer.Set(due); clock.Now() < due; {
		select {
		case <-l.pacer.C():
		case <-inVain:
			due = min(due, clock.Now()+afterVain)
			l.pacer.Set(due)
		case <-l.checking.Done():
			return 0, false
		}
	}
	return due, true
}

// check runs check i once. A slot that is gone ends Context, unless the set is elastic and has others.
func (l *Lock) check(ctx context.Context, i int, c check) error {
	for {
		sent := l.session.cfg.clock.Now()
		err := c.run(ctx, l.Slots())
		var gone *goneError
		switch {
		case err == nil:
			if l.lease.prove(i, sent) {
				l.renewed()
			}
			return context.Cause(l.ctx)
		case !errors.As(err, &gone):
			return err
		case !l.survive(ctx, gone):
			return context.Cause(l.ctx)
		}
	}
}

// survive drops a slot that is gone from an elastic set that has others; else it ends Context and returns false.
func (l *Lock) survive(ctx context.Context, gone *goneError) bool {
	if !l.session.cfg.Elastic {
		l.lost(l.session.describe([]int{gone.slot}), gone)
		return false
	}
	switch left, was := l.session.held.drop(gone.slot); {
	case !was: // another check was faster to find out
		return true
	case left == 0:
		l.lost(l.session.describe([]int{gone.slot}), gone)
		return false
	}
	l.session.giveBack(ctx, []int{gone.slot})
	l.changed("lost slot %d: %v", gone.slot, gone)
	return true
}

func (l *Lock) renewed() {
	if l.session.cfg.OnRenew != nil {
		l.session.cfg.OnRenew(l.lease.stopAt(), l.lease.until())
	}
}

// changed tells of a change in an elastic set.
func (l *Lock) changed(format string, args ...any) {
	l.session.cfg.Logf(format, args...)
	l.changing.Lock()
	defer l.changing.Unlock()
	if l.session.cfg.OnChange != nil {
		l.session.cfg.OnChange(l.Slots())
	}
}

// watch notices the end of the lease and of the connection.
func (l *Lock) watch() {
	for {
		select {
		case <-l.alarm.C():
			l.expire()
			l.alarm.Set(l.lease.stopAt())
		case <-l.session.hold.ended:
			if l.checking.Err() == nil {
				l.connectionEnded()
			}
			return
		case <-l.checking.Done():
			return
		}
	}
}

// connectionEnded ends Context for an abrupt loss.
func (l *Lock) connectionEnded() {
	<-l.session.hold.ended
	l.lost(l.String(), connectionLost(l.session.hold.why))
}

// expire ends Context when the time to stop has come.
func (l *Lock) expire() {
	if oldest := l.lease.oldest(); l.session.cfg.clock.Now() >= l.lease.stopAt() {
		l.lost(l.String(), fmt.Errorf("the %s got no answer, and the lease of twice the heartbeat (%s) is running out",
			oldest.check, l.lease.heartbeat))
	}
}

// lost ends Context; the first reason counts.
func (l *Lock) lost(what string, reason error) {
	l.lose(&LostError{
		Lock:   what,
		Broker: l.session.hold.broker,
		Reason: reason.Error(),
		Age:    l.session.cfg.clock.Now() - l.lease.oldest().sent,
	})
}
