package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/locker"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// breaker breaks and mends what a plan says.
type breaker struct {
	*world
	ctx       context.Context
	processes []*process
	admins    sync.WaitGroup

	mu   sync.Mutex
	ends []context.CancelFunc // of administrators
}

// run has all faults begin and end when it is time.
func (b *breaker) run() {
	done := make(chan struct{}, 2*len(b.plan.Faults))
	start := func(d time.Duration, f func()) *time.Timer {
		return time.AfterFunc(d-time.Since(b.clock.start), func() {
			f()
			done <- struct{}{}
		})
	}
	for _, f := range b.plan.Faults {
		turn := func(on bool) func() {
			return func() {
				b.findings.note("%s: %t", f.Name, on)
				kinds[f.Name](b, f.Target, on)
			}
		}
		begin, end := start(f.At, turn(true)), start(f.At+f.Lasts, turn(false))
		defer begin.Stop()
		defer end.Stop()
	}
	for range 2 * len(b.plan.Faults) {
		select {
		case <-done:
		case <-b.ctx.Done():
			return
		}
	}
}

// kinds are the faults by name.
var kinds = map[string]func(b *breaker, target uint64, on bool){
	"alarm": func(b *breaker, _ uint64, on bool) {
		if on {
			b.broker.Alarm("memory")
		} else {
			b.broker.Alarm("")
		}
	},
	"slow": func(b *breaker, _ uint64, on bool) {
		if on {
			b.network.slowBy(slowest)
		} else {
			b.network.slowBy(0)
		}
	},
	"stall":  func(b *breaker, target uint64, on bool) { b.broker.Stall(b.plan.host(target), on) },
	"split":  (*breaker).split,
	"resize": func(b *breaker, target uint64, on bool) { b.resize(target, on, locker.Resize) },
	"drain":  func(b *breaker, target uint64, on bool) { b.resize(target, on, locker.DrainTo) },
	"kill": func(b *breaker, target uint64, on bool) {
		if on {
			b.process(target).kill(true)
		}
	},
	"crash": func(b *breaker, target uint64, on bool) {
		if on {
			b.process(target).kill(false)
		}
	},
	"lose": func(b *breaker, target uint64, on bool) {
		b.onSocket(target, on, func(s *broker.Socket) { lose(s, target) })
	},
	"reset": func(b *breaker, target uint64, on bool) {
		b.onSocket(target, on, (*broker.Socket).Reset)
	},
	"cut": func(b *breaker, target uint64, on bool) {
		b.onProcess(target, on, func(s *broker.Socket) { lose(s, target) })
	},
	"deafen": func(b *breaker, target uint64, on bool) {
		b.onProcess(target, on, func(s *broker.Socket) { deafen(s, target) })
	},
	"hang": func(b *breaker, target uint64, on bool) {
		until := b.process(target).over("hang", time.Now())
		b.onProcess(target, on, func(s *broker.Socket) { s.Hold(until, true) })
	},
	"freeze": (*breaker).freeze,
	"vanish": (*breaker).vanish,
	"by name": func(b *breaker, _ uint64, on bool) {
		if on {
			b.broker.DeleteByName(0.2, 100*time.Millisecond)
		} else {
			b.broker.DeleteByName(0, 0)
		}
	},
	"stop": func(b *breaker, _ uint64, on bool) {
		b.broker.Away(on)
		if on {
			b.broker.CloseAll(true)
		}
	},
	"restart": func(b *breaker, _ uint64, on bool) {
		b.broker.Away(on)
		if on {
			b.broker.CloseAll(false)
		}
	},
}

func (b *breaker) process(target uint64) *process {
	return b.processes[target%uint64(len(b.processes))]
}

// onSocket does something to one connection.
func (b *breaker) onSocket(target uint64, on bool, f func(*broker.Socket)) {
	var all []*broker.Socket
	for _, q := range b.processes {
		all = append(all, q.open()...)
	}
	if on && len(all) > 0 {
		f(all[target%uint64(len(all))])
	}
}

// onProcess does something to all connections of one process.
func (b *breaker) onProcess(target uint64, on bool, f func(*broker.Socket)) {
	if on {
		for _, s := range b.process(target).open() {
			f(s)
		}
	}
}

// givesUp is when Linux ends a connection from which nothing was acknowledged.
const givesUp = 924 * time.Second

// lose has a middlebox forget a connection. It drops what belongs to it, and may be heard
// to refuse it a little later.
func lose(s *broker.Socket, target uint64) {
	s.Lose()
	timeOut(s, target)
}

// deafen has it forget one direction.
func deafen(s *broker.Socket, target uint64) {
	s.Deafen()
	timeOut(s, target)
}

// timeOut ends the connection at the client some time later.
func timeOut(s *broker.Socket, target uint64) {
	late := givesUp
	if dice := rand.New(rand.NewPCG(target, 2)); dice.IntN(4) > 0 {
		late = upTo(dice, 2*time.Minute)
	}
	time.AfterFunc(late, s.TimeOut)
}

// host is one of the nodes.
func (p *Plan) host(target uint64) string {
	return fmt.Sprintf("n%d", 1+target%uint64(p.Nodes))
}

// split cuts one node off, or ends that.
func (b *breaker) split(target uint64, on bool) {
	switch {
	case b.plan.Nodes < 3:
	case on:
		b.ledger.splits()
		b.broker.Split([]string{b.plan.host(target)}, time.Duration(target%uint64(20*time.Second)))
	default:
		b.broker.Heal()
	}
}

// resize has an administrator change the number of slots, and in the end take it back.
func (b *breaker) resize(
	target uint64, on bool, change func(context.Context, wire.Broker, string, int) error,
) {
	if b.plan.Slots == 0 {
		return
	}
	login, err := wire.Broker{URLs: []string{"amqp://n1"}, Dial: b.broker.DialContext}.Resolve()
	if err != nil {
		b.findings.violation("no administrator: %v", err)
		return
	}
	if on {
		ctx, cancel := context.WithCancel(b.ctx)
		b.mu.Lock()
		b.ends = append(b.ends, cancel)
		b.mu.Unlock()
		b.admins.Go(func() { _ = change(ctx, login, b.plan.Ref.Name, int(target%6)) })
		return
	}
	b.mu.Lock()
	for _, cancel := range b.ends {
		cancel()
	}
	b.mu.Unlock()
	b.admins.Go(func() {
		for b.ctx.Err() == nil && locker.Resize(b.ctx, login, b.plan.Ref.Name, b.plan.Slots) != nil {
			select {
			case <-time.After(time.Second):
			case <-b.ctx.Done():
			}
		}
	})
}

// vanish has the broker lose a queue that is held.
func (b *breaker) vanish(target uint64, on bool) {
	slot := 0
	if b.plan.Slots > 0 {
		slot = 1 + int(target%uint64(b.plan.Slots))
	}
	if on {
		b.broker.Vanish(b.plan.Ref.Held(slot))
	}
}

// freeze stops a process, with its command: all timers and answers come when it goes on.
// Timers are those of the patched runtime, so with the usual one nothing happens.
func (b *breaker) freeze(target uint64, on bool) {
	if !replays {
		return
	}
	q := b.process(target)
	if !on {
		time.AfterFunc(resume, func() { b.oracle.thaw(q.party, q.alive()) })
		return
	}
	until := q.over("freeze", time.Now())
	b.oracle.freeze(q.party, q.alive())
	b.onProcess(target, on, func(s *broker.Socket) { s.Hold(until, false) })
}

// resume is for how long the command of a process that goes on may run before it is
// killed: docs/explanation/guarantees.md names 3.1 ms.
const resume = 5 * time.Millisecond
