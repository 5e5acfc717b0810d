package rig

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/amqprun/amqprun/test/lab/oracle"
	"github.com/amqprun/amqprun/test/program"
)

// Lock is a lock that contenders want, and the directory where their commands leave their
// traces.
type Lock struct {
	Dir    string
	Option []string // --mutex NAME or --semaphore NAME
	Slots  int      // how many may hold it

	t      *testing.T
	mu     sync.Mutex
	all    []*Contender
	name   string
	fenced bool
}

// Holder is what the names of contenders begin with that have the weakness, in a control.
const Holder = "holder"

// NewLock makes up the lock of a test: a mutex with slots 0, otherwise a semaphore, which
// the first contender creates.
func NewLock(t *testing.T, slots int) *Lock {
	t.Helper()
	name := fmt.Sprintf("lab-%d-%d", os.Getpid(), Now())
	l := &Lock{
		t:      t,
		Dir:    t.TempDir(),
		Slots:  max(slots, 1),
		name:   name,
		Option: []string{"--mutex", name},
	}
	if slots > 0 {
		l.Option = []string{"--semaphore", name, "--slots", fmt.Sprint(slots)}
	}
	t.Cleanup(l.end)
	return l
}

// Fence has each contender that is started from now on get a token. It returns l.
func (l *Lock) Fence() *Lock {
	l.Option, l.fenced = append(l.Option, "--fence"), true
	return l
}

// Name is the lock's name.
func (l *Lock) Name() string { return l.name }

// HeldQueue is the queue whose owner holds the lock, in the first slot.
func (l *Lock) HeldQueue() string {
	if l.Option[0] == "--mutex" {
		return l.name
	}
	return l.name + "-B-1"
}

// History is what the commands have left behind until now.
func (l *Lock) History() *oracle.History {
	l.t.Helper()
	h, err := oracle.Read(l.Dir)
	if err != nil {
		l.t.Fatal(err)
	}
	return h
}

// count is how many contenders do something.
func (l *Lock) count(does func(*Contender) bool) int {
	l.mu.Lock()
	all := slices.Clone(l.all)
	l.mu.Unlock()
	n := 0
	for _, c := range all {
		if does(c) {
			n++
		}
	}
	return n
}

// Run is the command of that contender, which must have run.
func (l *Lock) Run(id string) *oracle.Run {
	l.t.Helper()
	r := l.History().Find(id)
	if r == nil {
		l.t.Fatalf("%s has not run its command", id)
	}
	return r
}

// end kills what still runs: first the guards, which would outlive amqprun to stop the
// command.
func (l *Lock) end() {
	for _, c := range l.all {
		select {
		case <-c.done:
		default:
			_ = c.cmd.Process.Signal(syscall.SIGCONT)
			_ = c.cmd.Process.Kill()
			<-c.done
		}
		if l.t.Failed() {
			l.t.Logf("messages of %s (exit %d):\n%s", c.ID, c.cmd.ProcessState.ExitCode(),
				c.Messages())
		}
	}
	// The guards of killed contenders end their commands; the directory goes when those
	// are dead.
	quiet, last := Now(), -1
	WaitFor(l.t, 10*time.Second, "the commands are dead", func() bool {
		info, err := os.Stat(l.Dir + "/journal")
		if err == nil && int(info.Size()) != last {
			quiet, last = Now(), int(info.Size())
		}
		return Now()-quiet > 50*time.Millisecond
	})
}

// Contender is one amqprun that wants the lock, with a canary as its command.
type Contender struct {
	ID    string
	Asked time.Duration // when it was started
	Ended time.Duration // when it had ended

	lock  *Lock
	cmd   *exec.Cmd
	done  chan struct{}
	mu    sync.Mutex
	lines []message
}

type message struct {
	at   time.Duration
	text string
}

// Start starts a contender. url is the broker's; options are more of amqprun's, then
// "--", then those of the canary.
func (l *Lock) Start(id, url string, options ...string) *Contender {
	l.t.Helper()
	program := amqprun
	if strings.HasPrefix(id, Holder) {
		program = holder
	}
	return l.start(id, url, program, l.arguments(id, options)...)
}

// arguments are those of amqprun.
func (l *Lock) arguments(id string, options []string) []string {
	args := append(append(timings(), "--kill-after", fmt.Sprint(Grace)), l.Option...)
	var forCanary []string
	for i, option := range options {
		if option == "--" {
			options, forCanary = options[:i], options[i+1:]
			break
		}
	}
	args = append(append(args, options...), "--", canary, "-id", id)
	return append(append(args, forCanary...), l.Dir)
}

func timings() []string {
	return []string{
		"--verbose", "--heartbeat", fmt.Sprint(Heartbeat), "--check-interval", "0.5",
		"--connect-timeout", "5",
	}
}

func (l *Lock) start(id, url, program string, args ...string) *Contender {
	l.t.Helper()
	c := &Contender{ID: id, lock: l, done: make(chan struct{}), cmd: exec.Command(program, args...)}
	c.cmd.Env = append(os.Environ(), "AMQPRUN_URL="+url)
	read, write, err := os.Pipe()
	if err != nil {
		l.t.Fatal(err)
	}
	c.cmd.Stdout, c.cmd.Stderr = write, write
	c.Asked = Now()
	err = c.cmd.Start()
	_ = write.Close()
	if err != nil {
		l.t.Fatal(err)
	}
	go c.listen(read)
	go c.wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, c)
	return c
}

// listen notes when each message came.
func (c *Contender) listen(messages io.ReadCloser) {
	defer messages.Close()
	lines := bufio.NewScanner(messages)
	for lines.Scan() {
		c.mu.Lock()
		c.lines = append(c.lines, message{Now(), lines.Text()})
		c.mu.Unlock()
	}
}

func (c *Contender) wait() {
	_ = c.cmd.Wait()
	c.mu.Lock()
	c.Ended = Now()
	c.mu.Unlock()
	close(c.done)
}

// Pid is amqprun's process id.
func (c *Contender) Pid() int { return c.cmd.Process.Pid }

// Signal sends a signal to amqprun alone.
func (c *Contender) Signal(s syscall.Signal) {
	c.lock.t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		c.lock.t.Errorf("signal %v to %s: %v", s, c.ID, err)
	}
}

// KillCommand kills the command of that contender, not amqprun.
func (l *Lock) KillCommand(id string) {
	l.t.Helper()
	if err := syscall.Kill(l.Run(id).Pid, syscall.SIGKILL); err != nil {
		l.t.Fatal(err)
	}
}

// Code is the exit status of one that has ended; -1 if a signal killed it.
func (c *Contender) Code() int { return c.cmd.ProcessState.ExitCode() }

// Messages is what amqprun and its command wrote to standard error, with the times of
// CLOCK_BOOTTIME.
func (c *Contender) Messages() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, m := range c.lines {
		fmt.Fprintf(&b, "%.3f %s\n", m.at.Seconds(), m.text)
	}
	return b.String()
}

// Said returns when a message first matched, or 0.
func (c *Contender) Said(pattern string) time.Duration {
	matches := regexp.MustCompile(pattern).MatchString
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.lines {
		if matches(m.text) {
			return m.at
		}
	}
	return 0
}

// AwaitMessage waits until a message matches.
func (c *Contender) AwaitMessage(pattern string) {
	c.lock.t.Helper()
	WaitFor(c.lock.t, Patience, fmt.Sprintf("%s says %q", c.ID, pattern),
		func() bool { return c.Said(pattern) != 0 })
}

// AwaitStart waits until the command runs.
func (c *Contender) AwaitStart() *oracle.Run {
	c.lock.t.Helper()
	var r *oracle.Run
	WaitFor(c.lock.t, Patience, c.ID+" runs its command", func() bool {
		r = c.lock.History().Find(c.ID)
		return r != nil || c.HasEnded()
	})
	if r == nil {
		c.lock.t.Fatalf("%s ended without running its command", c.ID)
	}
	return r
}

// HasEnded reports whether amqprun has ended.
func (c *Contender) HasEnded() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// AwaitGuard waits until amqprun has its guard. Before that a fault of amqprun itself
// leaves the command alone.
func (c *Contender) AwaitGuard() {
	c.lock.t.Helper()
	WaitFor(c.lock.t, Patience, c.ID+" has a guard",
		func() bool { return program.GuardOf(c.Pid()) != 0 })
}
