package hold

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// controlVariable is set for a keeper: the descriptor that leads to the amqprun that has
// started it, and the process that it holds for.
const controlVariable = "AMQPRUN_HOLD_CONTROL"

// Orders of the starter to the keeper.
const (
	keepIt = 'k' // the text has come; stay although I end
	dropIt = 'd' // nobody could read the text
)

// Starter is the side of the amqprun that somebody has called, which ends when the lock
// is held.
type Starter struct {
	command *exec.Cmd
	control *os.File
	signals chan os.Signal
}

// firstFree is above all descriptors that a shell gives numbers to.
const firstFree = 200

// Start executes this program again with the same arguments, as the keeper. It keeps
// standard input and error until it holds, for options that read a file and for messages.
// Signals that end a process go to the keeper too.
func Start(p *Process) (*Starter, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot make a socket pair: %w", err)
	}
	unix.CloseOnExec(pair[0])
	unix.CloseOnExec(pair[1])
	s := &Starter{control: os.NewFile(uintptr(pair[0]), "control"), signals: make(chan os.Signal, 8)}
	theirs, err := unix.FcntlInt(uintptr(pair[1]), unix.F_DUPFD, firstFree)
	if errors.Is(err, unix.EINVAL) { // no more are allowed
		theirs, err = unix.FcntlInt(uintptr(pair[1]), unix.F_DUPFD, 3)
	}
	_ = unix.Close(pair[1])
	if err != nil {
		return nil, fmt.Errorf("cannot duplicate a descriptor: %w", err)
	}
	defer unix.Close(theirs)
	path, err := program()
	if err != nil {
		return nil, fmt.Errorf("cannot find the program of amqprun: %w", err)
	}
	s.command = &exec.Cmd{
		Path: path, Args: os.Args, Stdin: os.Stdin, Stderr: os.Stderr,
		Env: append(os.Environ(), fmt.Sprintf("%s=%d %s", controlVariable, theirs, p)),
	}
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) // else it ends us before Drop
	for _, sig := range []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM} {
		if !signal.Ignored(sig) {
			signal.Notify(s.signals, sig)
		}
	}
	if err := s.command.Start(); err != nil {
		return nil, fmt.Errorf("cannot start the process that holds the lock: %w", err)
	}
	go func() {
		for sig := range s.signals {
			_ = s.command.Process.Signal(sig)
		}
	}()
	return s, nil
}

// Await returns the text of a keeper that holds, and then the keeper stays. Where it has
// failed Await returns no text, and how it has ended, which is nil if that is not known.
func (s *Starter) Await() (text string, ended *os.ProcessState) {
	if json.NewDecoder(s.control).Decode(&text) == nil {
		if _, err := s.control.Write([]byte{keepIt}); err == nil {
			return text, nil
		}
	}
	_ = s.command.Wait()
	return "", s.command.ProcessState
}

// Drop makes the keeper release what it holds.
func (s *Starter) Drop() {
	_, _ = s.control.Write([]byte{dropIt})
	_ = s.command.Wait()
}

// Control is the keeper's side.
type Control struct {
	Process *Process // for which it holds; nil for nobody

	file   *os.File
	orders chan byte
}

// Background returns the keeper's side, or nil in another process.
func Background() (*Control, error) {
	words := strings.Fields(os.Getenv(controlVariable))
	_ = os.Unsetenv(controlVariable)
	if len(words) != 3 {
		return nil, nil
	}
	fd, err := strconv.Atoi(words[0])
	pid, pidErr := strconv.Atoi(words[1])
	born, bornErr := strconv.ParseUint(words[2], 10, 64)
	if err := errors.Join(err, pidErr, bornErr); err != nil {
		return nil, fmt.Errorf("%s: %w", controlVariable, err)
	}
	unix.CloseOnExec(fd)
	nameProcess()
	c := &Control{file: os.NewFile(uintptr(fd), "control"), orders: make(chan byte, 4)}
	go c.read()
	if pid != 0 {
		if c.Process, err = Find(pid, born); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *Control) read() {
	defer close(c.orders)
	var b [1]byte
	for {
		if _, err := io.ReadFull(c.file, b[:]); err != nil {
			return
		}
		c.orders <- b[0]
	}
}

// Abandoned is closed, or has an order, when the starter has ended or wants no more.
// Before Hand it has no orders.
func (c *Control) Abandoned() <-chan byte { return c.orders }

// Hand gives the starter the text, and reports whether the starter has taken it.
func (c *Control) Hand(text string) bool {
	if json.NewEncoder(c.file).Encode(text) != nil {
		return false
	}
	return <-c.orders == keepIt
}

// Dropped waits until the starter has ended, and reports whether the lock is not wanted
// any more.
func (c *Control) Dropped() bool { return <-c.orders == dropIt }

// Detach leaves the session, the directory and the standard streams of the caller.
// Messages go to log, or nowhere if that is nil.
func Detach(log *os.File) error {
	if _, err := unix.Setsid(); err != nil {
		return fmt.Errorf("setsid: %w", err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	messages := null
	if log != nil {
		messages = log
		defer log.Close()
	}
	_ = os.Chdir("/")
	for to, from := range []*os.File{null, null, messages} {
		if err := duplicate(int(from.Fd()), to); err != nil {
			return fmt.Errorf("redirect the standard streams: %w", err)
		}
	}
	return nil
}

// CloseInherited closes all descriptors that came from the caller, except the standard
// ones. The Go runtime marks its own as closed on execution.
func CloseInherited() {
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		return
	}
	for _, entry := range entries {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil || fd <= 2 {
			continue
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC == 0 {
			_ = unix.Close(fd)
		}
	}
}
