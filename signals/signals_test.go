package signals

import (
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "die" {
		n, _ := strconv.Atoi(os.Args[2])
		ch, caught := Notify()
		<-caught
		DieOf(syscall.Signal(n))
		select { // a signal that the runtime caught instead
		case <-ch:
			os.Exit(98)
		case <-time.After(time.Second):
			os.Exit(99)
		}
	}
	os.Exit(m.Run())
}

func TestParse(t *testing.T) {
	for _, name := range []string{"TERM", "SIGTERM", "term", "sigterm", "SigTerm", "15"} {
		if s, err := Parse(name); err != nil || s != syscall.SIGTERM {
			t.Errorf("%q: %v, %v", name, s, err)
		}
	}
	for _, name := range []string{"", "SIG", "TERMX", "SIGSIGTERM", "0", "-15", "65", "1.5", " TERM"} {
		_, err := Parse(name)
		if err == nil {
			t.Errorf("%q was taken", name)
			continue
		}
		for _, valid := range []string{"TERM", "INT", "USR1"} {
			if !strings.Contains(err.Error(), " "+valid+" ") {
				t.Errorf("%q: the error does not name %s: %v", name, valid, err)
			}
		}
	}
}

func TestEveryNameIsParsed(t *testing.T) {
	for n := syscall.Signal(1); n <= highest; n++ {
		name := Name(n)
		if strings.TrimPrefix(name, "SIG") == strconv.Itoa(int(n)) {
			continue
		}
		// Some numbers have two names: IOT and ABRT.
		if s, err := Parse(name); err != nil || Name(s) != name {
			t.Errorf("%d is %s, and that is %v, %v", n, name, s, err)
		}
	}
	if got := Name(40); got != "SIG40" {
		t.Errorf("40 is %s", got)
	}
}

// TestForwardedSet: a signal that can mean something for the command is forwarded.
func TestForwardedSet(t *testing.T) {
	for name, want := range map[string]bool{
		"HUP": true, "TERM": true, "ALRM": true, "VTALRM": true, "IO": true,
		"URG": false, "CHLD": false, "PIPE": false, "SEGV": false, "ABRT": false, "TTIN": false,
		"KILL": false,
	} {
		s, err := Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.Contains(Forwarded, s); got != want {
			t.Errorf("%s is forwarded: %t", name, got)
		}
	}
	if runtime.GOOS != "linux" {
		return
	}
	for _, s := range []syscall.Signal{16, 30, 35, 64} { // STKFLT, PWR, and the real-time signals
		if !slices.Contains(Forwarded, s) {
			t.Errorf("%s is not forwarded", Name(s))
		}
	}
}

func TestNotifyDeliversTheForwardedSet(t *testing.T) {
	ignored := map[syscall.Signal]bool{} // as under nohup
	for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT} {
		ignored[s] = signal.Ignored(s)
	}
	ch, caught := Notify()
	<-caught
	NotifyRealTime(ch)
	t.Cleanup(func() { signal.Reset() })
	for _, s := range append([]syscall.Signal{syscall.SIGTSTP, syscall.SIGPIPE}, Forwarded...) {
		if ignored[s] {
			continue
		}
		if err := syscall.Kill(os.Getpid(), s); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-ch:
			if got != s {
				t.Errorf("got %v, want %v", got, s)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%v did not come", s)
		}
	}
}

func TestDieOf(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT,
		syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGPIPE, syscall.SIGALRM, syscall.SIGKILL} {
		cmd := exec.Command(os.Args[0], "die", strconv.Itoa(int(s)))
		cmd.Dir = t.TempDir()
		err := cmd.Run()
		status := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if !status.Signaled() || status.Signal() != s || status.CoreDump() {
			t.Errorf("%v: %v, core=%t", s, err, status.CoreDump())
		}
	}
}

func TestDieOfReturnsWhenTheSignalIsNotDeadly(t *testing.T) {
	cmd := exec.Command(os.Args[0], "die", strconv.Itoa(int(syscall.SIGURG)))
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != 99 {
		t.Errorf("ended with %v, want it to return", err)
	}
}
