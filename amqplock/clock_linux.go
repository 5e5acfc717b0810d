package amqplock

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// bootClock is CLOCK_BOOTTIME.
type bootClock struct{}

func (bootClock) Now() time.Duration {
	var ts unix.Timespec
	// It cannot fail: the clock exists since Linux 2.6.39.
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	return time.Duration(ts.Nano())
}

// NewAlarm uses a timer of the kernel, because a Go timer would sleep on through a suspend and fire late.
func (bootClock) NewAlarm() (alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create timer: %w", err)
	}
	a := &bootAlarm{file: os.NewFile(uintptr(fd), "timerfd"), fd: fd, c: make(chan struct{}, 1)}
	go a.read()
	return a, nil
}

type bootAlarm struct {
	file *os.File
	fd   int
	c    chan struct{}
}

func (a *bootAlarm) Set(at time.Duration) {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(int64(at), 1))}
	_ = unix.TimerfdSettime(a.fd, unix.TFD_TIMER_ABSTIME, &spec, nil)
}

func (a *bootAlarm) C() <-chan struct{} { return a.c }

func (a *bootAlarm) Stop() { _ = a.file.Close() }

// read ends when Stop closes the file.
func (a *bootAlarm) read() {
	var expirations [8]byte
	for {
		if _, err := a.file.Read(expirations[:]); err != nil {
			return
		}
		select {
		case a.c <- struct{}{}:
		default:
		}
	}
}
