package lease

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// NewAlarm uses a timer of the kernel, because a Go timer sleeps on through a suspend and
// fires late.
func (BootClock) NewAlarm() (Alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create timer: %w", err)
	}
	a := &bootAlarm{file: os.NewFile(uintptr(fd), "timerfd"), c: make(chan struct{}, 1)}
	if a.raw, err = a.file.SyscallConn(); err != nil {
		return nil, errors.Join(err, a.file.Close())
	}
	go a.read()
	return a, nil
}

type bootAlarm struct {
	file *os.File
	raw  syscall.RawConn
	c    chan struct{}
}

// Set goes through raw, which refuses after Stop: by then the number of the descriptor
// may be another file's.
func (a *bootAlarm) Set(at time.Duration) {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(int64(at), 1))}
	_ = a.raw.Control(func(fd uintptr) {
		_ = unix.TimerfdSettime(int(fd), unix.TFD_TIMER_ABSTIME, &spec, nil)
	})
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
