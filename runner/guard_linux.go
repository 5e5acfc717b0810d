package runner

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

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
	mu     sync.Mutex
	pid    int // 0: there is no process
	socket int // our end of the socket pair, if there is a process
	born   time.Duration
	orders orders
	id     string
	kept   syscall.Conn
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
	if g.pid != 0 {
		g.killIfFull(g.sendAll())
	}
}

// Renew sets the instants, in sys.Boottime, at which the guard sends the stop signal and
// SIGKILL unless a later call moves them. It does not block.
func (g *Guard) Renew(stopAt, killAt time.Duration) {
	g.update(func(o *orders) { o.StopAt, o.KillAt = stopAt, killAt })
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
	if g.pid == 0 {
		return nil
	}
	_ = syscall.Kill(g.pid, syscall.SIGKILL)
	_, err := collect(g.pid)
	g.forget()
	if err != nil {
		return fmt.Errorf("wait for the guard process: %w", err)
	}
	return nil
}

// start starts the process if there is none. The orders wait in its socket until it reads
// them, also when amqprun is killed before that.
func (g *Guard) start(o orders, id string) error {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pid != 0 {
		return nil
	}
	now := g.orders
	o.StopAt, o.KillAt, o.Stopping, o.Paused = now.StopAt, now.KillAt, now.Stopping, now.Paused
	g.orders, g.id = o, id
	// SEQPACKET keeps the bounds of messages, and shows the end of this process.
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socketpair: %w", err)
	}
	defer unix.Close(pair[1])
	g.socket = pair[0]
	if err = g.sendAll(); err == nil {
		g.pid, err = executeGuard(pair[1])
	}
	if err != nil {
		unix.Close(pair[0])
		return err
	}
	g.born = sys.Boottime()
	return nil
}

// executeGuard executes this program again, as the guard, also when its file was
// replaced. The process has its end of the socket pair, and no other descriptor that it
// keeps.
func executeGuard(socket int) (pid int, err error) {
	if !seesProcesses() {
		return 0, errors.New("/proc does not show our processes")
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	fd := null.Fd()
	return syscall.ForkExec("/proc/self/exe", []string{guardName}, &syscall.ProcAttr{
		Dir:   "/",
		Env:   guardEnvironment,
		Files: []uintptr{fd, fd, fd, uintptr(socket)},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
}

// sendAll sends the orders and the duplicate of the connection.
func (g *Guard) sendAll() error {
	if g.kept == nil {
		return g.send(nil)
	}
	raw, err := g.kept.SyscallConn()
	if err != nil {
		return fmt.Errorf("hand the connection to the guard: %w", err)
	}
	var sendErr error
	err = raw.Control(func(fd uintptr) { sendErr = g.send(unix.UnixRights(int(fd))) })
	if errors.Is(err, net.ErrClosed) { // the lock is lost, and the tree has its grace
		return g.send(nil)
	}
	if err = errors.Join(err, sendErr); err != nil {
		return fmt.Errorf("hand the connection to the guard: %w", err)
	}
	return nil
}

// send never blocks. The guard leaves messages unread until its deadline. The socket
// takes more than a lease has renewals.
func (g *Guard) send(rights []byte) error {
	message := g.orders.encode(g.id)
	return unix.Sendmsg(g.socket, message, rights, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
}

func (g *Guard) stopping() { g.update(func(o *orders) { o.Stopping = true }) }

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
	if g.pid != 0 {
		g.killIfFull(g.send(nil))
	}
}

func (g *Guard) killIfFull(err error) {
	if errors.Is(err, unix.EAGAIN) {
		_ = syscall.Kill(g.pid, syscall.SIGKILL)
	}
}

// abandon leaves the process to do the rest alone. A later Done has no effect.
func (g *Guard) abandon() {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pid != 0 {
		g.forget()
	}
}

func (g *Guard) forget() {
	unix.Close(g.socket)
	g.pid = 0
}

// mayHaveStopped reports whether the process had a reason to stop the tree: it is time
// for that, or the connection has ended.
func (g *Guard) mayHaveStopped() bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pid == 0 {
		return false
	}
	return g.orders.StopAt != 0 && sys.Boottime() >= g.orders.StopAt || g.cut()
}

// cut reports whether either side has closed the connection.
func (g *Guard) cut() (cut bool) {
	if g.kept == nil {
		return false
	}
	raw, err := g.kept.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { cut = hungUp(int(fd)) })
	}
	return cut || err != nil
}

// hungUp reports whether the other side of a connection has closed it.
func hungUp(fd int) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0
}

// is reports whether pid is the guard's process.
func (g *Guard) is(pid int) bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return pid != 0 && g.pid == pid
}

// collected is called for every process that was collected. For the guard's process it
// forgets it and returns for how long it lived.
func (g *Guard) collected(pid int) (lived time.Duration, ours bool) {
	if !g.is(pid) {
		return 0, false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.forget()
	return sys.Boottime() - g.born, true
}
