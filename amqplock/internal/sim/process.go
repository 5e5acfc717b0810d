package sim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/amqprun/amqprun/test/sim/broker"
)

// party is a contender: a process with a command.
type party struct {
	*world
	number int
	plan   *Party
	ctx    context.Context // of the process
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	sockets []*broker.Socket
	dead    bool
	command *command
	wants   string // what it waits for; "" when it does not
	waited  bool   // OnWaiting was called
}

func (q *party) String() string {
	if q == nil {
		return "nobody"
	}
	return fmt.Sprintf("party %d", q.number)
}

var errKilled = errors.New("killed")

// kill ends the process at once. Without notice nobody closes its sockets: the machine
// has crashed.
func (q *party) kill(notice bool) {
	q.mu.Lock()
	q.dead = true
	for _, s := range q.sockets {
		if notice {
			s.Die()
		} else {
			s.Lose()
		}
	}
	command := q.command
	q.mu.Unlock()
	if command != nil {
		q.oracle.end(command)
	}
	q.cancel(errKilled)
}

func (q *party) isDead() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.dead
}

// dial opens a connection of this party.
func (q *party) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if q.isDead() {
		return nil, syscall.EHOSTUNREACH
	}
	conn, err := q.broker.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	socket := conn.(*broker.Socket)
	q.oracle.dialed(socket, q)
	q.mu.Lock()
	defer q.mu.Unlock()
	ended := func(s *broker.Socket) bool { return !s.IsOpen() }
	q.sockets = append(slices.DeleteFunc(q.sockets, ended), socket)
	if q.dead {
		socket.Lose()
	}
	return socket, nil
}

// open are the sockets that work.
func (q *party) open() (all []*broker.Socket) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, s := range q.sockets {
		if s.IsOpen() {
			all = append(all, s)
		}
	}
	return all
}

// sleep reports whether the process is alive after it.
func (q *party) sleep(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-q.ctx.Done():
		return false
	}
}

// working is how long a command takes from now on: it does nothing while it is stopped.
func (q *party) working(work time.Duration) time.Duration {
	for _, f := range q.faults("freeze") {
		if from := f.At - time.Since(q.clock.start); replays && from > 0 && from < work {
			work += f.Lasts
		}
	}
	return work
}

// over is when the faults of a name are over that a party has at an instant: that instant
// if it has none.
func (q *party) over(name string, at time.Time) time.Time {
	for _, f := range q.faults(name) {
		begin := q.clock.start.Add(f.At)
		if !at.Before(begin) && at.Before(begin.Add(f.Lasts)) {
			at = begin.Add(f.Lasts)
		}
	}
	return at
}

// faults are those of a name that are the party's, in their order.
func (q *party) faults(name string) (all []Fault) {
	for _, f := range q.world.plan.Faults {
		if f.Name == name && f.Target%uint64(len(q.world.plan.Parties)) == uint64(q.number) {
			all = append(all, f)
		}
	}
	return all
}
