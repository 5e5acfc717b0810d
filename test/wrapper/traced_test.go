package wrapper

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tickEvery is how exactly the end of a traced process is known.
const tickEvery = 2 * time.Millisecond

// The test binary runs itself again as the commands under the lock: "traced ROLE FILE
// [MARK]".
func init() {
	if len(os.Args) < 4 || os.Args[1] != "traced" {
		return
	}
	role, file := os.Args[2], os.Args[3]
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		os.Exit(1)
	}
	note(f, role, "start", monotonic())
	if role == "next" {
		for _, pid := range carriers(os.Args[4]) {
			note(f, "left", describe([]int{pid})[0], monotonic())
		}
		os.Exit(0)
	}
	signal.Ignore(syscall.SIGTERM)
	if role == "leader" {
		if err := begetTraced(file); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	tick := time.NewTicker(tickEvery)
	for end := time.Now().Add(3 * patience); time.Now().Before(end); <-tick.C {
		note(f, role, "alive", monotonic())
	}
	os.Exit(1)
}

// begetTraced starts a process in the leader's group and one that has left it and the
// session.
func begetTraced(file string) error {
	for role, attributes := range map[string]*syscall.SysProcAttr{"grandchild": nil,
		"daemon": {Setsid: true}} {
		c := exec.Command(os.Args[0], "traced", role, file)
		c.SysProcAttr = attributes
		if err := c.Start(); err != nil {
			return err
		}
	}
	return nil
}

// note appends a line in one write: the instant is never later than the line.
func note(f *os.File, role, what string, at time.Duration) {
	if _, err := fmt.Fprintf(f, "%d %s %s\n", at, role, what); err != nil {
		os.Exit(1)
	}
}

// monotonic is the same clock for all processes.
func monotonic() time.Duration {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	return time.Duration(now.Nano())
}

// trace is what the traced processes of one round have written.
type trace struct {
	started map[string]bool // by role
	last    time.Duration   // the newest line of the first command's tree

	next time.Duration // when the second command started, 0 if it has not
	late []string      // what shows that both ran at once
}

// readTrace reads a trace file. A line behind that of the second command is late whatever
// its instant: it was written later.
func readTrace(t *testing.T, file string) trace {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	tr := trace{started: make(map[string]bool)}
	whole := string(text[:strings.LastIndexByte(string(text), '\n')+1])
	for line := range strings.Lines(whole) {
		instant, what, _ := strings.Cut(strings.TrimSpace(line), " ")
		ns, err := strconv.ParseInt(instant, 10, 64)
		if err != nil {
			t.Fatalf("a line of the trace is %q", line)
		}
		at := time.Duration(ns)
		role, event, _ := strings.Cut(what, " ")
		tr.started[role] = tr.started[role] || event == "start"
		switch role {
		case "next":
			tr.next = at
		case "left":
			tr.late = append(tr.late, event)
		default:
			tr.last = max(tr.last, at)
			if tr.next != 0 {
				tr.late = append(tr.late, fmt.Sprintf("%s %v after the start of the next", what, at-tr.next))
			}
		}
	}
	if tr.next != 0 && tr.last >= tr.next && len(tr.late) == 0 {
		tr.late = append(tr.late,
			fmt.Sprintf("an instant %v after the start of the next", tr.last-tr.next))
	}
	return tr
}
