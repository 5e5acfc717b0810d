package amqplock

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"
)

// Lock is a lock that the broker has granted. It is being checked until Release.
type Lock struct {
	session *session
	queue   string
	slot    int
	checks  []check
	lease   *lease

	ctx  context.Context
	lose context.CancelCauseFunc

	checking     context.Context // ends the checks when Release begins
	stopChecking context.CancelFunc
	checkers     sync.WaitGroup
	alarm        alarm
	talkReady    chan struct{} // closed when readyToTalk no longer touches the session
	released     sync.Once
	releaseErr   error
}

// settling are the first checks after a grant. A granted exclusive queue can vanish without a word in the first second or two after another node
// of the cluster has died (https://github.com/rabbitmq/rabbitmq-server/issues/9798).
var settling = []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 700 * time.Millisecond, time.Second}

// talkDelay spares commands that end at once the second connection; who releases a lock that others wait for needs it.
const talkDelay = 200 * time.Millisecond

func (s *session) newLock(queue string, slot int, checks []check, lease *lease) (*Lock, error) {
	alarm, err := s.cfg.clock.NewAlarm()
	if err != nil {
		return nil, err
	}
	l := &Lock{session: s, queue: queue, slot: slot, checks: checks, lease: lease, alarm: alarm,
		talkReady: make(chan struct{})}
	l.ctx, l.lose = context.WithCancelCause(context.Background())
	l.checking, l.stopChecking = context.WithCancel(l.ctx)
	l.alarm.Set(lease.stopAt())
	l.renewed()
	for i, c := range checks {
		l.checkers.Go(func() { l.keepChecking(i, c) })
	}
	l.checkers.Go(l.watch)
	go l.readyToTalk()
	s.cfg.Logf("acquired %s", l)
	return l, nil
}

// String names the lock as messages do: `mutex "name"`, `slot 2 of semaphore "name"`.
func (l *Lock) String() string {
	if l.slot == 0 {
		return l.session.lockName()
	}
	return fmt.Sprintf("slot %d of %s", l.slot, l.session.lockName())
}

// Slot is the number of the slot held, from 1; 0 for a mutex.
func (l *Lock) Slot() int { return l.slot }

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
// returns that *LostError and ends Context. It returns another error when ctx ends first.
func (l *Lock) Verify(ctx context.Context) error {
	l.expire()
	for i, c := range l.checks {
		if err := l.check(ctx, i, c); err != nil {
			return err
		}
	}
	return nil
}

// Release gives the lock back; call it only when all work under the lock has ended. It checks once more, so that a loss which nobody
// noticed is told: then, as when the lock was lost before, it returns that *LostError. It ends all connections and goroutines of the lock, takes no
// longer than ctx and a second, and may be called again.
func (l *Lock) Release(ctx context.Context) error {
	l.released.Do(func() { l.releaseErr = l.release(ctx) })
	return l.releaseErr
}

func (l *Lock) release(ctx context.Context) error {
	l.stopChecking()
	l.alarm.Stop()
	<-l.talkReady
	err := context.Cause(l.ctx)
	if err == nil {
		err = l.handBack(ctx)
	}
	l.session.drop() // ends the calls that hang, and with them the checkers
	l.checkers.Wait()
	l.lose(nil)
	return err
}

// handBack deletes the queue and tells the next waiter. The deletion is awaited before anything else: since RabbitMQ 4.2 the end of a
// connection alone frees its queues some time later.
func (l *Lock) handBack(ctx context.Context) error {
	s := l.session
	for i, c := range l.checks[:min(len(l.checks), 1+l.slotChecks())] {
		var lost *LostError
		if err := l.check(ctx, i, c); errors.As(err, &lost) {
			return lost
		}
	}
	if s.hold.IsClosed() {
		l.lost(connectionLost(<-s.hold.lost).Error())
		return context.Cause(l.ctx)
	}
	if err := call(ctx, func() error { return s.own.remove(l.queue) }); err != nil {
		s.cfg.Logf("%s: could not delete its queue, closing the connection frees it: %v", l, err)
		return nil
	}
	s.cfg.Logf("released %s", l)
	if s.talk == nil && call(ctx, func() error {
		if !s.slot.nobodyWaits(s.cfg.Name) {
			return errBusy
		}
		return nil
	}) == nil {
		s.hold.farewell(time.Second)
		return nil
	}
	s.wakeNext(ctx)
	if s.talk != nil {
		s.talk.farewell(time.Second)
		s.talk = nil
	}
	s.hold.farewell(time.Second)
	return nil
}

// slotChecks is 1 for a semaphore, whose slot may have been removed.
func (l *Lock) slotChecks() int {
	if l.slot > 0 {
		return 1
	}
	return 0
}

// keepChecking runs one check again and again. A check that hangs keeps its goroutine until the connection is dropped; the lease runs
// meanwhile.
func (l *Lock) keepChecking(i int, c check) {
	for n := 0; ; n++ {
		pause := l.session.cfg.CheckInterval
		if n < len(settling) {
			pause = min(pause, settling[n])
		}
		select {
		case <-time.After(pause):
		case <-l.checking.Done():
			return
		}
		if err := l.check(l.checking, i, c); err != nil && l.checking.Err() == nil {
			l.session.cfg.Logf("%s of %s proved nothing: %v", c.name, l, err)
		}
	}
}

// check runs check i once; a lost lock ends Context.
func (l *Lock) check(ctx context.Context, i int, c check) error {
	sent := l.session.cfg.clock.Now()
	err := call(ctx, func() error { return c.ask(c.lane) })
	switch c.judge(err) {
	case held:
		l.lease.prove(i, sent)
		l.renewed()
		return context.Cause(l.ctx)
	case lost:
		l.lost(fmt.Sprintf("%s says so: %v", c.name, err))
		return context.Cause(l.ctx)
	}
	return err
}

func (l *Lock) renewed() {
	if l.session.cfg.OnRenew != nil {
		l.session.cfg.OnRenew(l.lease.stopAt(), l.lease.until())
	}
}

// watch notices the end of the lease and of the connection.
func (l *Lock) watch() {
	for {
		select {
		case <-l.alarm.C():
			l.expire()
			l.alarm.Set(l.lease.stopAt())
		case why := <-l.session.hold.lost:
			if l.checking.Err() == nil {
				l.lost(connectionLost(why).Error())
			}
			return
		case <-l.checking.Done():
			return
		}
	}
}

// expire ends Context when the time to stop has come.
func (l *Lock) expire() {
	if oldest := l.lease.oldest(); l.session.cfg.clock.Now() >= l.lease.stopAt() {
		l.lost(fmt.Sprintf("%s got no answer, and the lease of twice the heartbeat (%s) is running out",
			oldest.check, l.lease.heartbeat))
	}
}

// lost ends Context; the first reason counts.
func (l *Lock) lost(reason string) {
	l.lose(&LostError{
		Lock:   l.String(),
		Broker: l.session.hold.broker,
		Reason: reason,
		Age:    l.session.cfg.clock.Now() - l.lease.oldest().sent,
	})
}

// readyToTalk opens the talk connection in time for the hand-over. Failing is no harm: it is tried again then.
func (l *Lock) readyToTalk() {
	defer close(l.talkReady)
	select {
	case <-time.After(talkDelay):
		_ = l.session.openTalk(l.checking)
	case <-l.checking.Done():
	}
}
