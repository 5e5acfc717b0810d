package hold

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Socket is where a keeper is asked. The directory around it is its own user's alone.
type Socket struct {
	Path     string
	listener net.Listener
	answers  sync.WaitGroup
}

// Answer is what a keeper says when it has released the lock.
type Answer struct {
	// Lost says how the lock was lost before; it is empty if it was held.
	Lost string `json:"lost,omitempty"`
}

// Requests of a client, a line each.
const (
	askRelease = "release"
	askLocks   = "locks"
)

const (
	dirPattern = "amqprun-hold-*"
	socketName = "socket"
	lockName   = "lock" // a file that says for whom a killed keeper held what
)

// retryPause is between two tries of something that may soon succeed.
const retryPause = 200 * time.Millisecond

// directories are where a socket can be. systemd removes XDG_RUNTIME_DIR at the logout,
// which a script can outlive, so that is only for a /tmp that cannot be written. The
// names are short, because a path of a socket has at most 104 bytes.
func directories() []string {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" && len(dir) < 60 {
		return []string{"/tmp", dir}
	}
	return []string{"/tmp"}
}

// Listen makes the socket of a keeper that holds lock for p. It removes those that killed
// keepers have left.
func Listen(lock string, p *Process) (*Socket, error) {
	var failed error
	for _, parent := range directories() {
		sweep(parent)
		dir, err := os.MkdirTemp(parent, dirPattern) // mode 0700
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		path := filepath.Join(dir, socketName)
		listener, err := net.Listen("unix", path)
		if err != nil {
			discard(dir)
			failed = errors.Join(failed, err)
			continue
		}
		_ = os.WriteFile(filepath.Join(dir, lockName), []byte(p.String()+"\n"+lock), 0o600)
		return &Socket{Path: path, listener: listener}, nil
	}
	return nil, failed
}

// lockOf names the lock of a keeper. The directory may be anything, as for discard.
func lockOf(dir string) string {
	if ours(dir) {
		text, _ := os.ReadFile(filepath.Join(dir, lockName))
		if _, lock, found := strings.Cut(string(text), "\n"); found {
			return lock
		}
	}
	return "the lock"
}

// forAnybody is for how long somebody may ask for a lock that was held for nobody.
const forAnybody = 24 * time.Hour

// mayAsk reports whether somebody may still ask for the lock of a keeper that is dead.
func mayAsk(dir string, begun time.Time) bool {
	text, _ := os.ReadFile(filepath.Join(dir, lockName))
	var pid int
	var born uint64
	if _, _ = fmt.Sscan(string(text), &pid, &born); pid == 0 {
		return time.Since(begun) < forAnybody
	}
	return lives(pid, born)
}

// discard removes a directory of ours. It removes nothing else, because the variable of
// the caller may name anything.
func discard(dir string) {
	if ours(dir) {
		_ = os.Remove(filepath.Join(dir, socketName))
		_ = os.Remove(filepath.Join(dir, lockName))
		_ = os.Remove(dir)
	}
}

// ours reports whether dir was made by Listen for this user. Anybody may put something
// with such a name into /tmp, such as a symbolic link to a directory of ours.
func ours(dir string) bool {
	named, _ := filepath.Match(dirPattern, filepath.Base(dir))
	var info unix.Stat_t
	return named && unix.Lstat(dir, &info) == nil &&
		info.Mode&unix.S_IFMT == unix.S_IFDIR && int(info.Uid) == os.Geteuid()
}

// settled is the age from which a socket that refuses connections has no keeper: a young
// one may not listen yet.
const settled = time.Minute

// sweep removes the directories of keepers that were killed. Those of other users stay,
// and those that may still have to say that a lock was lost.
func sweep(parent string) {
	dirs, _ := filepath.Glob(filepath.Join(parent, dirPattern))
	for _, dir := range dirs {
		info, err := os.Lstat(dir)
		if err != nil || !ours(dir) || time.Since(info.ModTime()) < settled {
			continue
		}
		conn, err := net.DialTimeout("unix", filepath.Join(dir, socketName), time.Second)
		switch {
		case err == nil:
			_ = conn.Close()
		case errors.Is(err, os.ErrNotExist),
			errors.Is(err, syscall.ECONNREFUSED) && !mayAsk(dir, info.ModTime()):
			discard(dir)
		}
	}
}

// Serve answers until Close. It calls release and locks from several goroutines; release
// may block until it has an answer. Before that is sent Serve removes the socket. So a
// client that asks once more finds nothing, however late Close is called.
func (s *Socket) Serve(release func() Answer, locks func() []string) {
	for {
		conn, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // no descriptor is free, for one
			<-time.After(retryPause)
			continue
		}
		s.answers.Go(func() {
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(time.Second))
			line, _, _ := bufio.NewReader(conn).ReadLine()
			var answer any
			switch string(line) {
			case askRelease:
				answer = release()
				discard(filepath.Dir(s.Path))
			case askLocks:
				answer = locks()
			default:
				return
			}
			_ = conn.SetDeadline(time.Now().Add(time.Second))
			_ = json.NewEncoder(conn).Encode(answer)
		})
	}
}

// Close removes the socket, or leaves its file as the mark of a lost lock: a client takes
// the keeper for killed then. It returns when all that was asked is answered.
func (s *Socket) Close(mark bool) {
	if !mark {
		discard(filepath.Dir(s.Path)) // first: a client finds it gone, and not deaf
	}
	s.listener.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = s.listener.Close()
	s.answers.Wait()
}
