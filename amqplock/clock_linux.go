package amqplock

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bootClock is CLOCK_BOOTTIME.
type bootClock struct{}

// Now cannot fail: the clock exists since Linux 2.6.39.
func (bootClock) Now() time.Duration {
	var ts unix.Timespec
	_, _, _ = unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_BOOTTIME, uintptr(unsafe.Pointer(&ts)), 0) // raw as for socket
	return time.Duration(ts.Nano())
}

// NewAlarm uses a timer of the kernel, because a Go timer would sleep on through a suspend and fire late.
func (bootClock) NewAlarm() (alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create timer: %w", err)
	}
	a := &bootAlarm{file: os.NewFile(uintptr(fd), "timerfd"), fd: fd, c: make(chan struct{}, 1)}
	raw, err := a.file.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, a.file.Close())
	}
	go a.read(raw)
	return a, nil
}

type bootAlarm struct {
	file *os.File
	fd   int
	c    chan struct{}
}

func (a *bootAlarm) Set(at time.Duration) {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(int64(at), 1))}
	_, _, _ = unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, uintptr(a.fd), unix.TFD_TIMER_ABSTIME, uintptr(unsafe.Pointer(&spec)), 0, 0, 0)
}

func (a *bootAlarm) C() <-chan struct{} { return a.c }

func (a *bootAlarm) Stop() { _ = a.file.Close() }

// read ends when Stop closes the file.
func (a *bootAlarm) read(raw syscall.RawConn) {
	var expirations [8]byte
	for {
		if _, err := transfer(raw.Read, unix.SYS_READ, expirations[:]); err != nil {
			return
		}
		select {
		case a.c <- struct{}{}:
		default:
		}
	}
}
