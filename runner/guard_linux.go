package runner

import (
	"sync"
	"syscall"
	"time"

	"github.com/amqprun/amqprun/internal/sys"
)

// Guard is a small process that stops the command's tree when amqprun cannot. Then
// somebody has killed amqprun, or has stopped it while the lease ends. The process
// holds a duplicate of the connection's socket, so that the broker frees the lock when
// the command is dead and not before.
//
// Run starts the process when the command has lived for guardAfter. All methods may be
// called on nil, which does nothing, and by several goroutines.
type Guard struct {
	mu       sync.Mutex
	process  *guardLink // nil: there is none
	orders   orders
	graceEnd time.Duration // 0: amqprun gives no grace
	id       string
	kept     syscall.Conn
}

// NewGuard returns a Guard without a process.
func NewGuard() *Guard { return &Guard{} }

// KeepSocket sets the connection of which the process gets a duplicate. The duplicate
// keeps the connection open when amqprun dies. A process that replaces another gets one
// too, so c must stay usable until Done, or the next call. Call KeepSocket before Run,
// and in Pause.Regain; nil keeps nothing.
func (g *Guard) KeepSocket(c syscall.Conn) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.kept = c
	if g.process != nil {
		g.process.killIfFull(g.process.sendAll(g.orders.encode(g.id), c))
	}
}

// Renew sets the instants, in sys.Boottime, at which the guard sends the stop signal and
// SIGKILL unless a later call moves them. It does not block.
func (g *Guard) Renew(stopAt, killAt time.Duration) {
	g.update(func(o *orders) {
		o.StopAt, o.KillAt = stopAt, killAt
		g.boundGrace(o)
	})
}

// Done kills the process, if there is one, and returns when it is gone, after about a
// millisecond. Call it when nothing is left to guard: if this process ended without it,
// the guard would stop the tree. SIGKILL also reaches a guard that somebody has stopped.
func (g *Guard) Done() error {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.process == nil {
		return nil
	}
	err := g.process.end()
	g.process = nil
	return err
}

// start starts the process if there is none. The orders wait in its socket until it reads
// them, also when amqprun is killed before that.
func (g *Guard) start(o orders, id string) error {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.process != nil {
		return nil
	}
	now := g.orders
	o.StopAt, o.KillAt, o.Stopping, o.Paused = now.StopAt, now.KillAt, now.Stopping, now.Paused
	g.orders, g.id = o, id
	process, err := startGuardProcess(o.encode(id), g.kept)
	if err == nil {
		g.process = process
	}
	return err
}

// stopping says that amqprun stops the tree, and when the grace ends (0: there is none).
func (g *Guard) stopping(graceEnd time.Duration) {
	g.update(func(o *orders) {
		o.Stopping, g.graceEnd = true, graceEnd
		g.boundGrace(o)
	})
}

// boundGrace has the process kill at the end of the grace, whatever becomes of amqprun.
// The lock may be free since the grace began.
func (g *Guard) boundGrace(o *orders) {
	if g.graceEnd != 0 && (o.KillAt == 0 || g.graceEnd < o.KillAt) {
		o.KillAt = g.graceEnd
	}
}

// pausing says whether the tree is paused. At the beginning of a pause the process
// closes its duplicate, which would keep the lost connection, and so the lock from us.
func (g *Guard) pausing(paused bool) {
	g.update(func(o *orders) {
		if o.Paused = paused; paused {
			g.kept = nil
		}
	})
}

// dismiss says that nothing is left to guard. It does not end the process: that would
// take a processor from amqprun, which releases the lock next.
func (g *Guard) dismiss() { g.update(func(o *orders) { *o = orders{} }) }

// update changes the orders. A failure to send them is the end of the process, which
// Run notices. A full socket is another case. Somebody has stopped the process, and it
// would act on old orders when it goes on. So update kills it, and Run replaces it.
func (g *Guard) update(change func(*orders)) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	change(&g.orders)
	if g.process != nil {
		g.process.killIfFull(g.process.send(g.orders.encode(g.id), nil))
	}
}

// abandon leaves the process to do the rest alone. A later Done has no effect.
func (g *Guard) abandon() {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.process != nil {
		g.process.close()
		g.process = nil
	}
}

// mayHaveStopped reports whether the process had a reason to stop the tree: it is time
// for that, or the connection has ended.
func (g *Guard) mayHaveStopped() bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.process == nil {
		return false
	}
	return g.orders.StopAt != 0 && sys.Boottime() >= g.orders.StopAt || hasEnded(g.kept)
}

// is reports whether pid is the guard's process.
func (g *Guard) is(pid int) bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.process != nil && g.process.pid == pid
}

// collected is called for every process that was collected. For the guard's process it
// forgets it and returns for how long it lived.
func (g *Guard) collected(pid int) (lived time.Duration, ours bool) {
	if g == nil {
		return 0, false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.process == nil || g.process.pid != pid {
		return 0, false
	}
	lived = sys.Boottime() - g.process.born
	g.process.close()
	g.process = nil
	return lived, true
}
