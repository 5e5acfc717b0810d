package runner

import (
	"fmt"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/amqprun/amqprun/internal/sys"
)

// stubTime is how long a guard is only a stub. Most commands that are shorter end without the cost of starting this executable once more,
// two milliseconds of a processor that the broker and the command want.
const stubTime = 100 * time.Millisecond

// clone makes a process that shares our memory, as vfork(2) does, and our descriptors as a copy.
func clone(flags, stack, calls uintptr) (pid uintptr)

// systemCall is one for the stub to make: number and arguments.
type systemCall [6]uintptr

// stub is all that the child reads while it shares our memory. It lives outside of Go's heap and is never freed: the child may outlive us.
type stub struct {
	calls   [lastSignal + 12]systemCall
	ignore  sys.Action
	none    unix.Sigset_t
	poll    unix.PollFd
	name    [16]byte
	program [16]byte
	root    [2]byte
	argv    [2]uintptr
	envp    [8]uintptr
	strings [256]byte
	stack   [512]byte
}

// forkGuard makes the guard's process. At first that is a stub: it has left our session, kept only the socket, and waits for the end of the
// other end of that, our death, or for stubTime to be over. Then it executes the guard, which finds in the socket what it was told.
//
// Signals are blocked in it until it ignores them, since it has our handlers.
func forkGuard(socket, null int) (pid int, err error) {
	pid, err = forkStub(socket, null)
	if err != nil { // something, like a sandbox, does not know such processes
		pid, err = execGuard(socket, null)
	}
	return pid, err
}

func forkStub(socket, null int) (pid int, err error) {
	memory, err := unix.Mmap(-1, 0, int(unsafe.Sizeof(stub{})), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return 0, err
	}
	s := (*stub)(unsafe.Pointer(&memory[0]))
	s.write(socket, null)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all, old unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = ^uint64(0)
	}
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &all, &old); err != nil {
		return 0, err
	}
	flags := uintptr(unix.CLONE_VM | int(unix.SIGCHLD))
	r := clone(flags, uintptr(unsafe.Pointer(&s.stack))+unsafe.Sizeof(s.stack), uintptr(unsafe.Pointer(&s.calls)))
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil); err != nil {
		return 0, err
	}
	if failed := -int(r); failed > 0 && failed < 4096 {
		return 0, fmt.Errorf("clone: %w", syscall.Errno(failed))
	}
	return int(r), nil
}

func (s *stub) write(socket, null int) {
	free := s.strings[:]
	text := func(t string) uintptr {
		at := uintptr(unsafe.Pointer(&free[0]))
		free = free[copy(free, t)+1:]
		return at
	}
	s.ignore = sys.Ignore
	copy(s.name[:], guardName)
	copy(s.program[:], guardProgram)
	copy(s.root[:], "/")
	s.argv[0] = text(guardName)
	for i, variable := range guardEnvironment {
		s.envp[i] = text(variable)
	}
	s.poll = unix.PollFd{Fd: guardSocket} // no events: only its end
	keep := systemCall{unix.SYS_DUP3, uintptr(socket), guardSocket, 0}
	if socket == guardSocket {
		keep = systemCall{unix.SYS_FCNTL, guardSocket, unix.F_SETFD, 0}
	}
	from := uintptr(null)
	for n := range lastSignal {
		s.calls[n] = systemCall{unix.SYS_RT_SIGACTION, uintptr(n + 1), uintptr(unsafe.Pointer(&s.ignore)), 0, 8}
	}
	copy(s.calls[lastSignal:], []systemCall{
		{unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&s.none)), 0, 8},
		{unix.SYS_SETSID},
		{unix.SYS_DUP3, from, 0, 0},
		{unix.SYS_DUP3, from, 1, 0},
		{unix.SYS_DUP3, from, 2, 0},
		keep,
		{unix.SYS_CLOSE_RANGE, guardSocket + 1, uintptr(^uint32(0)), 0},
		{unix.SYS_CHDIR, uintptr(unsafe.Pointer(&s.root))},
		{unix.SYS_PRCTL, unix.PR_SET_NAME, uintptr(unsafe.Pointer(&s.name))}, // the sign that all is set up
		{unix.SYS_POLL, uintptr(unsafe.Pointer(&s.poll)), 1, uintptr(stubTime.Milliseconds())},
		{unix.SYS_EXECVE, uintptr(unsafe.Pointer(&s.program)), uintptr(unsafe.Pointer(&s.argv)), uintptr(unsafe.Pointer(&s.envp))},
		{unix.SYS_EXIT_GROUP, exitOwnFailure},
	})
}
