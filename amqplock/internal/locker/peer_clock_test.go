package locker

import (
	"sync"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/lease"
)

// bubbleClock goes with the time of a synctest bubble, and, like CLOCK_BOOTTIME, on while
// the machine is suspended; Go's timers do not.
type bubbleClock struct {
	start time.Time

	mu     sync.Mutex
	slept  time.Duration
	alarms []*bubbleAlarm
}

func (b *bubbleClock) Now() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now()
}

func (b *bubbleClock) now() time.Duration {
	return 1000*time.Second + time.Since(b.start) + b.slept
}

// suspend lets the clock jump. No alarm has been noticed when it returns: whatever else
// the machine does first has the old lease.
func (b *bubbleClock) suspend(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.slept += d
}

// resumed lets the alarms ring that are due, and sets the others right.
func (b *bubbleClock) resumed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.alarms {
		if a.timer != nil && a.timer.Stop() {
			a.arm()
		}
	}
}

func (b *bubbleClock) NewAlarm() (lease.Alarm, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := &bubbleAlarm{clock: b, c: make(chan struct{}, 1)}
	b.alarms = append(b.alarms, a)
	return a, nil
}

type bubbleAlarm struct {
	clock *bubbleClock
	at    time.Duration
	timer *time.Timer
	c     chan struct{}
}

func (a *bubbleAlarm) Set(at time.Duration) {
	a.clock.mu.Lock()
	defer a.clock.mu.Unlock()
	if a.timer != nil {
		a.timer.Stop()
	}
	a.at = at
	a.arm()
}

// arm has the clock's lock.
func (a *bubbleAlarm) arm() {
	a.timer = time.AfterFunc(a.at-a.clock.now(), func() {
		select {
		case a.c <- struct{}{}:
		default:
		}
	})
}

func (a *bubbleAlarm) C() <-chan struct{} { return a.c }

func (a *bubbleAlarm) Stop() {
	a.clock.mu.Lock()
	defer a.clock.mu.Unlock()
	if a.timer != nil {
		a.timer.Stop()
	}
}
