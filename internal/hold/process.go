package hold

import (
	"context"
	"fmt"
	"syscall"
	"time"
)

// Process is a process that is not our child, and never another one that has its number
// by now.
type Process struct {
	PID  int
	born uint64 // on Linux; with the number it names a process for ever
	fd   int    // a pidfd; -1 where there is none
}

// Find returns the process with that number. A born of 0 means whichever it is.
func Find(pid int, born uint64) (*Process, error) {
	p := &Process{PID: pid, born: bornAt(pid)} // first: lives then shows whose pidfd it is
	p.fd = openPidfd(pid)
	if !lives(pid, p.born) || born != 0 && p.born != born {
		return nil, fmt.Errorf("there is no process %d", pid)
	}
	return p, nil
}

// lookEvery is how soon the end of a process is seen where there is no pidfd.
const lookEvery = 200 * time.Millisecond

// Ended returns a channel that is closed when the process has ended. The watch ends with
// ctx. For nil, which stands for nobody, the channel is nil.
func (p *Process) Ended(ctx context.Context) <-chan struct{} {
	if p == nil {
		return nil
	}
	ended := make(chan struct{})
	go func() {
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		for lives(p.PID, p.born) {
			if p.fd >= 0 && waitPidfd(ctx, p.fd) {
				break
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
		close(ended)
	}()
	return ended
}

// Signal sends s if the process lives. For nil it does nothing.
func (p *Process) Signal(s syscall.Signal) error {
	switch {
	case p == nil:
		return nil
	case p.fd >= 0:
		return signalPidfd(p.fd, s)
	case !lives(p.PID, p.born):
		return syscall.ESRCH
	}
	return syscall.Kill(p.PID, s)
}

// String is what Find takes, for another process.
func (p *Process) String() string {
	if p == nil {
		return "0 0"
	}
	return fmt.Sprintf("%d %d", p.PID, p.born)
}
