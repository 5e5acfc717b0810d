package locker

import (
	"sync"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/lease"
)

// fakeClock stands still until it is moved; a suspended machine is a large step.
type fakeClock struct {
	mu     sync.Mutex
	now    time.Duration
	alarms []*fakeAlarm
}

func (f *fakeClock) Now() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *fakeClock) NewAlarm() (lease.Alarm, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := &fakeAlarm{clock: f, c: make(chan struct{}, 1)}
	f.alarms = append(f.alarms, a)
	return a, nil
}

// jump moves the clock before any alarm has been noticed, as for a process that was
// stopped.
func (f *fakeClock) jump(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now += d
}

func (f *fakeClock) advance(d time.Duration) {
	f.jump(d)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.alarms {
		a.ring()
	}
}

type fakeAlarm struct {
	clock *fakeClock
	at    time.Duration // 0: not set
	c     chan struct{}
}

func (a *fakeAlarm) Set(at time.Duration) {
	a.clock.mu.Lock()
	defer a.clock.mu.Unlock()
	a.at = max(at, 1)
	a.ring()
}

func (a *fakeAlarm) ring() {
	if a.at != 0 && a.clock.now >= a.at {
		a.at = 0
		select {
		case a.c <- struct{}{}:
		default:
		}
	}
}

func (a *fakeAlarm) C() <-chan struct{} { return a.c }
func (a *fakeAlarm) Stop()              {}
