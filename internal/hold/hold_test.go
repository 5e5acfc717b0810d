package hold

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestSocket(t *testing.T) {
	t.Parallel()
	s, err := Listen("mutex m", nil)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		s.Serve(func() Answer { return Answer{Lost: "why"} },
			func() []string { return []string{"a", "b"} })
	}()
	if info, err := os.Stat(filepath.Dir(s.Path)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory has mode %v, %v", info.Mode(), err)
	}
	if got := Locks(s.Path); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("holds %q", got)
	}
	if a, err := Release(s.Path); err != nil || a.Lost != "why" {
		t.Errorf("released: %+v, %v", a, err)
	}
	for _, when := range []string{"after the answer", "after the end"} {
		if _, err := Release(s.Path); !errors.Is(err, ErrNone) {
			t.Errorf("%s: %v", when, err)
		}
		s.Close(false)
	}
	<-served
}

// TestLogout: it removes XDG_RUNTIME_DIR, and the script may go on.
func TestLogout(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "run-") //nolint:usetesting // a short path, for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_RUNTIME_DIR", dir)
	s, err := Listen("mutex m", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(false)
	_ = os.RemoveAll(dir)
	if _, err := os.Stat(s.Path); err != nil {
		t.Error(err)
	}
}

// TestReleaseOfAnything: the variable of the caller may name another program's socket.
func TestReleaseOfAnything(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("/tmp", "other-") //nolint:usetesting // a short path, for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, socketName)
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = l.Close()
	if _, err := Release(path); !errors.Is(err, ErrKilled) {
		t.Errorf("killed: %v", err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error("it was removed:", err)
	}
}

// TestLinkOfAnother: anybody can make one in /tmp, and wait for a file to be removed.
func TestLinkOfAnother(t *testing.T) {
	t.Parallel()
	parent, target := t.TempDir(), t.TempDir()
	file := filepath.Join(target, socketName)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(parent, strings.ReplaceAll(dirPattern, "*", "1"))
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	old := []unix.Timeval{{Sec: 1}, {Sec: 1}}
	if err := unix.Lutimes(link, old); err != nil {
		t.Fatal(err)
	}
	sweep(parent)
	if _, err := Release(filepath.Join(link, socketName)); !errors.Is(err, ErrKilled) {
		t.Error(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error("it was removed:", err)
	}
}

// TestKilledKeeper: its socket says so until somebody asks.
func TestKilledKeeper(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("/tmp", dirPattern) //nolint:usetesting // where a keeper makes it
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, socketName)
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = l.Close()
	if err := os.WriteFile(filepath.Join(dir, lockName), []byte("0 0\nmutex m"), 0o600); err != nil {
		t.Fatal(err)
	}
	sweep("/tmp")
	if _, err := os.Stat(path); err != nil {
		t.Error("a young socket is swept:", err)
	}
	a, err := Release(path)
	if !errors.Is(err, ErrKilled) || !strings.HasPrefix(a.Lost, "mutex m was lost") {
		t.Errorf("killed: %+v, %v", a, err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Error("the directory is left:", err)
	}
}

// TestMarkOfALoss: the hold of another script must not remove it while somebody may ask.
func TestMarkOfALoss(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	script, err := Find(cmd.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	stays := func(p *Process, age time.Duration) bool {
		s, err := Listen("mutex m", p)
		if err != nil {
			t.Fatal(err)
		}
		s.Close(true)
		dir := filepath.Dir(s.Path)
		defer discard(dir)
		then := time.Now().Add(-age)
		if err := os.Chtimes(dir, then, then); err != nil {
			t.Fatal(err)
		}
		sweep(filepath.Dir(dir))
		_, err = os.Stat(s.Path)
		return err == nil
	}
	if !stays(script, 48*time.Hour) {
		t.Error("a script that lives cannot ask any more")
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if stays(script, 2*time.Minute) {
		t.Error("the mark outlives the script")
	}
	if !stays(nil, 2*time.Minute) || stays(nil, 48*time.Hour) {
		t.Error("without a process the mark does not stay for a day")
	}
}

// TestSlowToAsk: a keeper does not wait for a question for ever. That it hangs up does
// not mean that it has lost the lock.
func TestSlowToAsk(t *testing.T) {
	t.Parallel()
	s, err := Listen("mutex m", nil)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		if conn, err := s.listener.Accept(); err == nil {
			_ = conn.Close()
		}
		s.Serve(func() Answer { return Answer{} }, nil)
	}()
	if a, err := Release(s.Path); err != nil || a.Lost != "" {
		t.Errorf("released: %+v, %v", a, err)
	}
	s.Close(false)
	<-served
}

// TestProcess: with a pidfd and without.
func TestProcess(t *testing.T) {
	t.Parallel()
	for _, pidfd := range []bool{true, false} {
		cmd := exec.Command("sleep", "600")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		p, err := Find(cmd.Process.Pid, 0)
		if err != nil {
			t.Fatal(err)
		}
		if !pidfd {
			p.fd = -1
		}
		ctx, cancel := context.WithCancel(t.Context())
		_ = p.Ended(ctx) // its watch ends with ctx
		cancel()
		ended := p.Ended(t.Context())
		select {
		case <-ended:
			t.Error("it has ended too early")
		default:
		}
		if err := p.Signal(9); err != nil {
			t.Error(err)
		}
		select { // a zombie has ended
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Error("its end is not seen")
		}
		_ = cmd.Wait()
		if err := p.Signal(9); err == nil {
			t.Error("a process that is gone got a signal")
		}
		if _, err := Find(os.Getpid(), p.born+1); p.born != 0 && err == nil {
			t.Error("another process with the number was found")
		}
	}
}
