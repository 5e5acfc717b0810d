package runner

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/amqprun/amqprun/internal/sys"
)

// Guard is a small process that stops the command's tree when amqprun cannot: because it was killed, or because it is stopped
// and the lease ends. It holds a duplicate of the connection's socket, so that a broker frees the lock after the command is
// dead and not before. All methods work on nil, doing nothing, and may be called by several goroutines.
type Guard struct {
	mu     sync.Mutex
	socket int // our end; -1 when closed
	pid    int // 0 when it has been collected
	born   time.Duration
	orders orders
	id     string
	kept   syscall.Conn
	failed error // why it could not be started
	armed  bool  // there is, or will be, something to guard: it is told every change
}

// StartGuard starts the guard, this executable once more, which has to call RunGuard if IsGuard, and returns at once: the methods wait until
// it has been forked, and Run tells if it could not be. Nobody waits for it to be ready: messages wait in the socket until it reads them,
// also when this process is killed before that.
func StartGuard() *Guard {
	g := &Guard{socket: -1, orders: orders{Amqprun: int32(os.Getpid())}}
	g.mu.Lock()
	go func() {
		defer g.mu.Unlock()
		if err := g.spawn(); err != nil {
			g.failed = fmt.Errorf("start the guard process: %w", err)
		}
	}()
	return g
}

func (g *Guard) spawn() error {
	// SEQPACKET: messages keep their bounds, and the end of this process is an end of file.
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socketpair: %w", err)
	}
	defer unix.Close(pair[1])
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		unix.Close(pair[0])
		return fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	defer unix.Close(null)
	pid, err := forkGuard(pair[1], null)
	if err != nil {
		unix.Close(pair[0])
		return err
	}
	g.socket, g.pid, g.born = pair[0], pid, sys.Boottime()
	return nil
}

// guardProgram is this executable, also when its file was replaced.
const guardProgram = "/proc/self/exe"

// execGuard makes the guard's process, with its end of the socket pair and nothing else.
func execGuard(socket, null int) (pid int, err error) {
	fd := uintptr(null)
	return syscall.ForkExec(guardProgram, []string{guardName}, &syscall.ProcAttr{
		Dir:   "/",
		Env:   guardEnvironment,
		Files: []uintptr{fd, fd, fd, uintptr(socket)},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
}

// KeepSocket makes Run give the guard a duplicate of c's descriptor, which keeps the connection open when this process dies. A guard that
// replaces another gets it again, so c must stay usable until Done. Call it before Run; nil keeps nothing.
func (g *Guard) KeepSocket(c syscall.Conn) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.kept = c
}

func (g *Guard) sendSocket() error {
	raw, err := g.kept.SyscallConn()
	if err != nil {
		return fmt.Errorf("hand the connection to the guard: %w", err)
	}
	var sendErr error
	err = raw.Control(func(fd uintptr) { sendErr = g.send(unix.UnixRights(int(fd))) })
	if err == nil {
		err = sendErr
	}
	if err != nil {
		return fmt.Errorf("hand the connection to the guard: %w", err)
	}
	return nil
}

// Renew sets the instants, in Boottime, at which the guard sends the stop signal and SIGKILL unless renewed. A guard that cannot be reached
// is noticed by Run.
func (g *Guard) Renew(stopAt, killAt time.Duration) {
	g.update(func(o *orders) { o.StopAt, o.KillAt = stopAt, killAt })
}

// prepare tells all that is known before the command starts, in one message: each wakes the guard, on a processor that somebody needs. It
// returns an error when there is no guard.
func (g *Guard) prepare(c *Command) error {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failed != nil {
		return &StartError{Path: c.Args[0], Err: g.failed, Code: exitOwnFailure}
	}
	g.id, g.armed = c.ID, true
	g.orders.Signal, g.orders.KillAfter = int32(c.stopSignal()), c.KillAfter
	err := g.brief()
	if errors.Is(err, unix.EPIPE) && g.pid != 0 { // it was killed while amqprun waited for the lock
		_, _ = syscall.Wait4(g.pid, nil, syscall.WALL, nil)
		g.pid = 0
		g.close()
		if err = g.spawn(); err == nil {
			err = g.brief()
		}
	}
	return err
}

// brief tells a new guard all there is to know.
func (g *Guard) brief() error {
	if g.kept == nil {
		return g.send(nil)
	}
	return g.sendSocket()
}

func (g *Guard) group(pgid int) { g.update(func(o *orders) { o.Group = int32(pgid) }) }

func (g *Guard) stopping() { g.update(func(o *orders) { o.Stopping = true }) }

func (g *Guard) update(change func(*orders)) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	change(&g.orders)
	if g.armed && errors.Is(g.send(nil), unix.EAGAIN) {
		// Somebody has stopped it, and it would act on orders of that time when it goes on. Run replaces it.
		_ = syscall.Kill(g.pid, syscall.SIGKILL)
	}
}

// send never blocks. The guard does not read each message at once; more than it leaves unread, the two hundred renewals of a lease, fit into the
// socket.
func (g *Guard) send(rights []byte) error {
	if g.socket < 0 {
		return unix.EPIPE
	}
	message := g.orders.encode(g.id)
	if len(rights) > 0 {
		return unix.Sendmsg(g.socket, message, rights, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
	}
	// Raw, as it cannot block: else the scheduler would wake its monitor thread for each new lease.
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(g.socket), uintptr(unsafe.Pointer(&message[0])), uintptr(len(message)),
		unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// dismiss tells the guard that nothing is left to be guarded, as before the start. It does not end it: that takes a processor some time, which
// somebody wants who waits for the lock.
func (g *Guard) dismiss() {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.armed {
		g.orders, g.id, g.armed = orders{Amqprun: g.orders.Amqprun}, "", false
		_ = g.send(nil)
	}
}

// Done ends the guard: nothing is left to be guarded, or nothing was ever started. It returns when the guard is gone, which takes a
// millisecond. Without it the end of this process makes the guard stop the tree, after Run only the guard itself. It is killed and not asked:
// somebody may have stopped it.
func (g *Guard) Done() error {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pid != 0 {
		_ = syscall.Kill(g.pid, syscall.SIGKILL)
	}
	g.close()
	for g.pid != 0 {
		_, err := syscall.Wait4(g.pid, nil, syscall.WALL, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		g.pid = 0
		if err != nil {
			return fmt.Errorf("wait for the guard process: %w", err)
		}
	}
	return nil
}

// abandon leaves the guard to do the rest alone; a later Done has no effect.
func (g *Guard) abandon() {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pid, g.armed = 0, false
	g.close()
}

func (g *Guard) close() {
	if g.socket >= 0 {
		unix.Close(g.socket)
		g.socket = -1
	}
}

// is reports whether pid is this guard.
func (g *Guard) is(pid int) bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.pid == pid
}

// reaped is told of every process that was collected while the tree is stopped.
func (g *Guard) reaped(pid int) {
	if g.is(pid) {
		g.mu.Lock()
		g.pid = 0
		g.close()
		g.mu.Unlock()
	}
}

// ended is told of every process that was collected while the command runs. A guard that was killed is replaced, but not one that dies
// at once.
func (g *Guard) ended(pid int, warnf func(string, ...any)) {
	if !g.is(pid) {
		return
	}
	if err := g.replace(); err != nil {
		warnf("the guard process has died and was not replaced (%v): if amqprun is killed now, the lock is free before the command is dead", err)
	}
}

// replace starts a guard in the place of one that has been collected.
func (g *Guard) replace() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pid = 0
	g.close()
	if age := sys.Boottime() - g.born; age <= time.Second {
		return fmt.Errorf("it lived for %v only", age)
	}
	if err := g.spawn(); err != nil {
		return err
	}
	return g.brief()
}
