package job

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/internal/console"
)

// systemd would end a start of a Type=notify unit that takes long. So a waiter asks for
// more time, again and again. What it has asked for last is left to the command, for its
// READY=1: as much as the default of TimeoutStartSec.
const (
	extendBy    = 90 * time.Second
	extendEvery = 30 * time.Second
)

// systemdTakes bounds how long a systemd that does not read can keep the command from
// starting.
const systemdTakes = time.Second

// standby shows a wait to systemd, and nothing that the command would say itself. It is
// nil, and its methods do nothing, where systemd does not listen.
type standby struct {
	lock  string
	every time.Duration

	mu      sync.Mutex
	known   amqplock.Waiting
	changed chan struct{} // nil: not waiting yet; holds one
	end     chan string   // takes the last status
	ended   chan struct{}
}

func newStandby(lock string) *standby {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return nil
	}
	return &standby{lock: lock, every: extendEvery}
}

// update notes what is known about the wait. It does not block.
func (s *standby) update(w amqplock.Waiting) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = w
	if s.changed == nil {
		s.changed, s.end, s.ended = make(chan struct{}, 1), make(chan string, 1), make(chan struct{})
		go s.run(s.changed, s.end, s.ended)
	}
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// run ends with the wait, or when systemd reads again.
func (s *standby) run(changed <-chan struct{}, end <-chan string, ended chan<- struct{}) {
	defer close(ended)
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	for {
		select {
		case <-changed:
		case <-tick.C:
		case status := <-end:
			extend(status)
			return
		}
		s.mu.Lock()
		place := console.Place(s.known)
		s.mu.Unlock()
		extend(fmt.Sprintf("waiting for %s: %s", s.lock, place))
	}
}

// done ends a wait, if there was one, with a last status. A new wait may follow.
func (s *standby) done(status string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	waited, end, ended := s.changed != nil, s.end, s.ended
	s.changed = nil
	s.mu.Unlock()
	if !waited {
		return
	}
	end <- status
	select {
	case <-ended:
	case <-time.After(systemdTakes):
	}
}

// extend sends a status and asks for time. A systemd that takes no message is no reason
// to fail.
func extend(status string) {
	_, _ = daemon.SdNotify(false,
		fmt.Sprintf("STATUS=%s\nEXTEND_TIMEOUT_USEC=%d", status, extendBy.Microseconds()))
}
