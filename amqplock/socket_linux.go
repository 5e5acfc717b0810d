package amqplock

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socket is a TCP connection that reads and writes without telling Go's scheduler. The system calls cannot block, since the descriptor is
// non-blocking; but before each the scheduler would wake its monitor thread, which is half of what an idle holder costs.
type socket struct {
	*net.TCPConn
	raw syscall.RawConn
}

// newSocket leaves what is no TCP connection as it is.
func newSocket(c net.Conn) net.Conn {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return c
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return c
	}
	return &socket{TCPConn: tcp, raw: raw}
}

func (s *socket) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := transfer(s.raw.Read, unix.SYS_READ, p)
	if err == nil && n == 0 {
		err = io.EOF
	}
	return n, s.explain("read", err)
}

func (s *socket) Write(p []byte) (written int, err error) {
	for written < len(p) && err == nil {
		var n int
		n, err = transfer(s.raw.Write, unix.SYS_WRITE, p[written:])
		written += n
	}
	return written, s.explain("write", err)
}

// explain makes err what net.TCPConn would return.
func (s *socket) explain(op string, err error) error {
	var raw *net.OpError
	var errno syscall.Errno
	switch {
	case errors.As(err, &raw):
		raw.Op = op
	case errors.As(err, &errno):
		err = &net.OpError{Op: op, Net: "tcp", Source: s.LocalAddr(), Addr: s.RemoteAddr(), Err: os.NewSyscallError(op, errno)}
	}
	return err
}

// transfer makes the system call, as often as wait says that it may go on now. An error of the call is a syscall.Errno.
func transfer(wait func(func(fd uintptr) bool) error, call uintptr, p []byte) (n int, err error) {
	var errno syscall.Errno
	err = wait(func(fd uintptr) bool {
		for {
			var r uintptr
			if r, _, errno = unix.RawSyscall(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p))); errno != unix.EINTR {
				n = int(r)
				return errno != unix.EAGAIN
			}
		}
	})
	switch {
	case err != nil: // the deadline, or it was closed
		return 0, err
	case errno != 0:
		return 0, errno
	}
	return n, nil
}
