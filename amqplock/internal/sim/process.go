package sim

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/amqprun/amqprun/test/sim/broker"
)

// process is that of a party. Faults kill it, stop it, or break its sockets.
type process struct {
	*world
	*party
	ctx    context.Context
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	sockets []*broker.Socket
	dead    bool
	command *command
}

var errKilled = errors.New("killed")

// kill ends the process at once. Without notice nobody closes its sockets: the machine
// has crashed.
func (q *process) kill(notice bool) {
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

func (q *process) isDead() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.dead
}

// begin notes the command. That of a dead process ends at once.
func (q *process) begin(c *command) {
	q.mu.Lock()
	q.command = c
	dead := q.dead
	q.mu.Unlock()
	if dead {
		q.oracle.end(c)
	}
}

// end is the end of its command.
func (q *process) end() {
	q.mu.Lock()
	c := q.command
	q.command = nil
	q.mu.Unlock()
	q.oracle.end(c)
}

// alive is its command; nil if there is none.
func (q *process) alive() *command {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.dead {
		return nil
	}
	return q.command
}

func (q *process) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if q.isDead() {
		return nil, syscall.EHOSTUNREACH
	}
	conn, err := q.broker.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	socket := conn.(*broker.Socket)
	q.ledger.dialed(socket, q.party)
	q.mu.Lock()
	defer q.mu.Unlock()
	ended := func(s *broker.Socket) bool { return !s.IsOpen() }
	q.sockets = append(slices.DeleteFunc(q.sockets, ended), socket)
	if q.dead {
		socket.Lose()
	}
	return socket, nil
}

func (q *process) open() (all []*broker.Socket) {
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
func (q *process) sleep(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-q.ctx.Done():
		return false
	}
}

// awake is when a timer fires that is set to an instant: the process may be stopped then.
func (q *process) awake(at time.Time) time.Time { return q.over("freeze", at) }

// working is how long a command takes from now on: it does nothing while it is stopped.
func (q *process) working(work time.Duration) time.Duration {
	for _, f := range q.faults("freeze") {
		if from := f.At - time.Since(q.clock.start); replays && from > 0 && from < work {
			work += f.Lasts
		}
	}
	return work
}

// over is when the faults of a name are over that it has at an instant: that instant if
// it has none.
func (q *process) over(name string, at time.Time) time.Time {
	for _, f := range q.faults(name) {
		begin := q.clock.start.Add(f.At)
		if !at.Before(begin) && at.Before(begin.Add(f.Lasts)) {
			at = begin.Add(f.Lasts)
		}
	}
	return at
}

// faults are those of a name that are the process's, in their order.
func (q *process) faults(name string) (all []Fault) {
	for _, f := range q.plan.Faults {
		if f.Name == name && f.Target%uint64(len(q.plan.Parties)) == uint64(q.number) {
			all = append(all, f)
		}
	}
	return all
}
