package runner

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/amqprun/amqprun/internal/sys"
)

// guardLink is amqprun's end of a guard process.
type guardLink struct {
	pid    int
	socket int // our end of the socket pair
	born   time.Duration
}

// startGuardProcess starts a guard process. Its orders wait in the socket until it reads
// them.
func startGuardProcess(message []byte, kept syscall.Conn) (*guardLink, error) {
	// SEQPACKET keeps the bounds of messages, and shows the end of this process.
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socketpair: %w", err)
	}
	defer unix.Close(pair[1])
	l := &guardLink{socket: pair[0]}
	if err = l.sendAll(message, kept); err == nil {
		l.pid, err = executeGuard(pair[1])
	}
	if err != nil {
		l.close()
		return nil, err
	}
	l.born = sys.Boottime()
	return l, nil
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

// sendAll sends orders and a duplicate of the connection, if there is one.
func (l *guardLink) sendAll(message []byte, kept syscall.Conn) error {
	if kept == nil {
		return l.send(message, nil)
	}
	raw, err := kept.SyscallConn()
	if err != nil {
		return fmt.Errorf("hand the connection to the guard: %w", err)
	}
	var sendErr error
	err = raw.Control(func(fd uintptr) { sendErr = l.send(message, unix.UnixRights(int(fd))) })
	if errors.Is(err, net.ErrClosed) { // the lock is lost, and the tree has its grace
		return l.send(message, nil)
	}
	if err = errors.Join(err, sendErr); err != nil {
		return fmt.Errorf("hand the connection to the guard: %w", err)
	}
	return nil
}

// send never blocks. The guard leaves messages unread until its deadline. The socket
// takes more than a lease has renewals.
func (l *guardLink) send(message, rights []byte) error {
	return unix.Sendmsg(l.socket, message, rights, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
}

func (l *guardLink) killIfFull(err error) {
	if errors.Is(err, unix.EAGAIN) {
		_ = syscall.Kill(l.pid, syscall.SIGKILL)
	}
}

// end kills the process and collects it.
func (l *guardLink) end() error {
	_ = syscall.Kill(l.pid, syscall.SIGKILL)
	_, err := collect(l.pid)
	l.close()
	if err != nil {
		return fmt.Errorf("wait for the guard process: %w", err)
	}
	return nil
}

func (l *guardLink) close() { unix.Close(l.socket) }

// hasEnded reports whether either side has closed the connection; nil is none.
func hasEnded(c syscall.Conn) (ended bool) {
	if c == nil {
		return false
	}
	raw, err := c.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { ended = hungUp(int(fd)) })
	}
	return ended || err != nil
}

// hungUp reports whether the other side of a connection has closed it.
func hungUp(fd int) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0
}
