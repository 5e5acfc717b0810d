//go:build !linux

package lease

import "time"

// NewAlarm uses a Go timer: it fires late where the machine was suspended.
func (c BootClock) NewAlarm() (Alarm, error) {
	a := &timerAlarm{c: make(chan struct{}, 1)}
	a.timer = time.AfterFunc(1<<62, a.fire)
	return a, nil
}

type timerAlarm struct {
	timer *time.Timer
	c     chan struct{}
}

func (a *timerAlarm) Set(at time.Duration) { a.timer.Reset(at - BootClock{}.Now()) }
func (a *timerAlarm) C() <-chan struct{}   { return a.c }
func (a *timerAlarm) Stop()                { a.timer.Stop() }

func (a *timerAlarm) fire() {
	select {
	case a.c <- struct{}{}:
	default:
	}
}
