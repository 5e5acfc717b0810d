package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/locker"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// onSocket does something to one connection.
func (w *world) onSocket(target uint64, on bool, f func(*broker.Socket)) {
	var all []*broker.Socket
	for _, q := range w.parties {
		all = append(all, q.open()...)
	}
	if on && len(all) > 0 {
		f(all[target%uint64(len(all))])
	}
}

// onParty does something to all connections of one party.
func (w *world) onParty(target uint64, on bool, f func(*broker.Socket)) {
	if on {
		for _, s := range w.parties[target%uint64(len(w.parties))].open() {
			f(s)
		}
	}
}

// givesUp is when Linux ends a connection from which nothing was acknowledged.
const givesUp = 924 * time.Second

// lose has a middlebox forget a connection. It drops what belongs to it, and may be heard
// to refuse it a little later.
func (w *world) lose(s *broker.Socket, target uint64) {
	s.Lose()
	w.timeOut(s, target)
}

// deafen has it forget one direction.
func (w *world) deafen(s *broker.Socket, target uint64) {
	s.Deafen()
	w.timeOut(s, target)
}

// timeOut ends the connection at the client some time later.
func (*world) timeOut(s *broker.Socket, target uint64) {
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
func (w *world) split(target uint64, on bool) {
	switch {
	case w.plan.Nodes < 3:
	case on:
		w.oracle.splits()
		w.broker.Split([]string{w.plan.host(target)}, time.Duration(target%uint64(20*time.Second)))
	default:
		w.broker.Heal()
	}
}

// resize has an administrator change the number of slots, and in the end take it back.
func (w *world) resize(
	target uint64, on bool, change func(context.Context, wire.Broker, string, int) error,
) {
	if w.plan.Slots == 0 {
		return
	}
	b, err := wire.Broker{URLs: []string{"amqp://n1"}, Dial: w.broker.DialContext}.Resolve()
	if err != nil {
		w.oracle.violation("no administrator: %v", err)
		return
	}
	if on {
		ctx, cancel := context.WithCancel(w.ctx)
		w.mu.Lock()
		w.ends = append(w.ends, cancel)
		w.mu.Unlock()
		w.admins.Go(func() { _ = change(ctx, b, w.plan.Ref.Name, int(target%6)) })
		return
	}
	w.mu.Lock()
	for _, cancel := range w.ends {
		cancel()
	}
	w.mu.Unlock()
	w.admins.Go(func() {
		for w.ctx.Err() == nil && locker.Resize(w.ctx, b, w.plan.Ref.Name, w.plan.Slots) != nil {
			select {
			case <-time.After(time.Second):
			case <-w.ctx.Done():
			}
		}
	})
}

// vanish has the broker lose a queue that is held.
func (w *world) vanish(target uint64, on bool) {
	slot := 0
	if w.plan.Slots > 0 {
		slot = 1 + int(target%uint64(w.plan.Slots))
	}
	if on {
		w.broker.Vanish(w.plan.Ref.Held(slot))
	}
}

// freeze stops a process, with its command: all timers and answers come when it goes on.
// Timers are those of the patched runtime, so with the usual one nothing happens.
func (w *world) freeze(target uint64, on bool) {
	if !replays {
		return
	}
	q := w.parties[target%uint64(len(w.parties))]
	if !on {
		time.AfterFunc(resume, func() { w.oracle.thaw(q) })
		return
	}
	until := q.over("freeze", time.Now())
	w.oracle.freeze(q)
	w.onParty(target, on, func(s *broker.Socket) { s.Hold(until, false) })
}

// resume is for how long the command of a process that goes on may run before it is
// killed: docs/explanation/guarantees.md names 3.1 ms.
const resume = 5 * time.Millisecond

// breakThings has all faults begin and end when it is time.
func (w *world) breakThings(ctx context.Context) {
	done := make(chan struct{}, 2*len(w.plan.Faults))
	start := func(d time.Duration, f func()) *time.Timer {
		return time.AfterFunc(d-time.Since(w.clock.start), func() {
			f()
			done <- struct{}{}
		})
	}
	for _, f := range w.plan.Faults {
		turn := func(on bool) func() {
			return func() {
				w.oracle.mu.Lock()
				w.oracle.note("%s: %t", f.Name, on)
				w.oracle.mu.Unlock()
				kinds[f.Name](w, f.Target, on)
			}
		}
		begin, end := start(f.At, turn(true)), start(f.At+f.Lasts, turn(false))
		defer begin.Stop()
		defer end.Stop()
	}
	for range 2 * len(w.plan.Faults) {
		select {
		case <-done:
		case <-ctx.Done():
			return
		}
	}
}

// kinds are the faults by name.
var kinds = map[string]func(w *world, target uint64, on bool){
	"alarm": func(w *world, _ uint64, on bool) {
		if on {
			w.broker.Alarm("memory")
		} else {
			w.broker.Alarm("")
		}
	},
	"slow": func(w *world, _ uint64, on bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.slow = 0; on {
			w.slow = slowest
		}
	},
	"stall":  func(w *world, target uint64, on bool) { w.broker.Stall(w.plan.host(target), on) },
	"split":  func(w *world, target uint64, on bool) { w.split(target, on) },
	"resize": func(w *world, target uint64, on bool) { w.resize(target, on, locker.Resize) },
	"drain":  func(w *world, target uint64, on bool) { w.resize(target, on, locker.DrainTo) },
	"kill": func(w *world, target uint64, on bool) {
		if on {
			w.parties[target%uint64(len(w.parties))].kill(true)
		}
	},
	"crash": func(w *world, target uint64, on bool) {
		if on {
			w.parties[target%uint64(len(w.parties))].kill(false)
		}
	},
	"lose": func(w *world, target uint64, on bool) {
		w.onSocket(target, on, func(s *broker.Socket) { w.lose(s, target) })
	},
	"reset": func(w *world, target uint64, on bool) {
		w.onSocket(target, on, (*broker.Socket).Reset)
	},
	"cut": func(w *world, target uint64, on bool) {
		w.onParty(target, on, func(s *broker.Socket) { w.lose(s, target) })
	},
	"deafen": func(w *world, target uint64, on bool) {
		w.onParty(target, on, func(s *broker.Socket) { w.deafen(s, target) })
	},
	"hang": func(w *world, target uint64, on bool) {
		until := w.parties[target%uint64(len(w.parties))].over("hang", time.Now())
		w.onParty(target, on, func(s *broker.Socket) { s.Hold(until, true) })
	},
	"freeze": func(w *world, target uint64, on bool) { w.freeze(target, on) },
	"vanish": func(w *world, target uint64, on bool) { w.vanish(target, on) },
	"by name": func(w *world, _ uint64, on bool) {
		if on {
			w.broker.DeleteByName(0.2, 100*time.Millisecond)
		} else {
			w.broker.DeleteByName(0, 0)
		}
	},
	"stop": func(w *world, _ uint64, on bool) {
		w.broker.Away(on)
		if on {
			w.broker.CloseAll(true)
		}
	},
	"restart": func(w *world, _ uint64, on bool) {
		w.broker.Away(on)
		if on {
			w.broker.CloseAll(false)
		}
	},
}
