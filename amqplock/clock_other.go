//go:build !linux

package amqplock

import (
	"time"

	"golang.org/x/sys/unix"
)

// bootClock is CLOCK_MONOTONIC here, the nearest there is: a suspended machine is noticed late, when it goes on.
type bootClock struct{}

func (bootClock) Now() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return time.Duration(ts.Nano())
}

func (bootClock) NewAlarm() (alarm, error) {
	a := &timerAlarm{c: make(chan struct{}, 1)}
	a.timer = time.AfterFunc(1<<62, a.fire)
	return a, nil
}

type timerAlarm struct {
	timer *time.Timer
	c     chan struct{}
}

func (a *timerAlarm) Set(at time.Duration) { a.timer.Reset(at - bootClock{}.Now()) }
func (a *timerAlarm) C() <-chan struct{}   { return a.c }
func (a *timerAlarm) Stop()                { a.timer.Stop() }

func (a *timerAlarm) fire() {
	select {
	case a.c <- struct{}{}:
	default:
	}
}
