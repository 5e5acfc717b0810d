package wrapper

import (
	"bufio"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/test/program"
)

// moment is a stage of a run at which it is killed: when then returns, and up to spread
// later.
type moment struct {
	name   string
	queued bool // first and second wait behind a holder, who has just let go
	then   func(k *killing)
	after  time.Duration
	spread time.Duration
}

var moments = []moment{
	{name: "before the grant", then: func(*killing) {}, spread: 10 * time.Millisecond},
	{name: "first in the queue", queued: true, then: func(*killing) {}, spread: 10 * time.Millisecond},
	{name: "between grant and start", queued: true, then: func(k *killing) { k.says("acquired") },
		spread: 10 * time.Millisecond},
	{name: "between start and guard", queued: true, then: func(k *killing) { k.starts("leader") },
		spread: 40 * time.Millisecond},
	{name: "when the guard starts", queued: true, then: func(k *killing) { k.first.guard() },
		spread: 10 * time.Millisecond},
	{name: "later", queued: true,
		then:  func(k *killing) { k.starts("leader", "grandchild", "daemon") },
		after: 100 * time.Millisecond, spread: 1500 * time.Millisecond},
}

// TestKillNeverLetsTwoCommandsOverlap kills amqprun at every stage of its life: no
// process of its command's tree has run when the next command started.
// AMQPRUN_KILL_ROUNDS is how often in all.
func TestKillNeverLetsTwoCommandsOverlap(t *testing.T) {
	t.Parallel()
	url := os.Getenv("AMQPRUN_URL")
	if url == "" {
		t.Skip("needs a broker: AMQPRUN_URL is not set")
	}
	rounds := 15
	if text := os.Getenv("AMQPRUN_KILL_ROUNDS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("AMQPRUN_KILL_ROUNDS is %q", text)
		}
		rounds = n
	}
	overTLS := rounds / 3
	t.Run("TCP", func(t *testing.T) { killRounds(t, 0, rounds-overTLS, url) })
	t.Run("TLS", func(t *testing.T) {
		servers := program.NewAuthority(t, "servers")
		plain, address := program.TLSBroker(t, fmt.Sprintf("wrapper-tls-%d", os.Getpid()), servers, "")
		killRounds(t, rounds-overTLS, rounds, plain,
			"AMQPRUN_URL=amqps://guest:guest@"+address+"/", "AMQPRUN_CACERT="+servers.File)
	})
}

// killRounds makes the rounds from first up to end. It looks at the broker by way of
// plain; env is where amqprun finds it.
func killRounds(t *testing.T, first, end int, plain string, env ...string) {
	conn, err := amqp.Dial(plain)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var mu sync.Mutex
	// idle and graced are from the kill to the next start: when nothing was running, and
	// when something was. handed is from the end of what was running to the next start.
	var idle, graced, handed []time.Duration
	t.Run("rounds", func(t *testing.T) {
		for i := first; i < end; i++ {
			m := moments[i%len(moments)]
			t.Run(fmt.Sprintf("%d %s", i, m.name), func(t *testing.T) {
				t.Parallel()
				_, part := math.Modf(float64(i/len(moments)) * math.Phi) // spreads any number of rounds evenly
				k := newKilling(t, conn, env)
				tr := k.round(m, m.after+time.Duration(part*float64(m.spread)))
				mu.Lock()
				defer mu.Unlock()
				took := tr.next - k.at
				if tr.last > 0 {
					graced, handed = append(graced, took), append(handed, tr.next-max(tr.last, k.at))
				} else {
					idle = append(idle, took)
				}
			})
		}
	})
	t.Logf("from kill to start: %s when idle, %s otherwise", quantiles(idle), quantiles(graced))
	t.Logf("from the last line to the next start: %s", quantiles(handed))
}

func quantiles(d []time.Duration) string {
	if len(d) == 0 {
		return "never"
	}
	slices.Sort(d)
	at := func(p float64) time.Duration {
		return d[int(p*float64(len(d)-1))].Round(100 * time.Microsecond)
	}
	return fmt.Sprintf("median %v, p90 %v, most %v of %d", at(0.5), at(0.9), at(1), len(d))
}

// killing is one round.
type killing struct {
	t             *testing.T
	conn          *amqp.Connection
	env           []string
	lock, trace   string
	program       string
	first, second *process
	pipe          *os.File      // the standard error of the first
	stderr        *bufio.Reader // of that
	at            time.Duration // when it was killed
	guarded       bool          // its guard was ready then
}

func newKilling(t *testing.T, conn *amqp.Connection, env []string) *killing {
	t.Helper()
	k := &killing{t: t, conn: conn, env: env, trace: filepath.Join(t.TempDir(), "trace")}
	// On a busy machine it may take a while until a process of the tree runs in its grace,
	// and look wants to see one.
	k.first = k.prepare([]string{"-v", "-k", "3"}, os.Args[0], "traced", "leader", k.trace)
	k.second = k.prepare(nil, os.Args[0], "traced", "next", k.trace, k.first.mark)
	k.lock = k.first.Args[2]
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	k.first.Stderr, k.pipe, k.stderr = w, r, bufio.NewReader(r)
	t.Cleanup(func() { r.Close(); w.Close() })
	return k
}

func (k *killing) prepare(options []string, command ...string) *process {
	k.t.Helper()
	p := withProgram(k.t, options, command...)
	if k.program == "" { // its own, so that a guard, which carries no mark, is known by it
		k.program = p.path("amqprun")
		if err := os.Link(p.Path, k.program); err != nil {
			k.t.Fatal(err)
		}
	}
	p.Path = k.program
	p.Env = append(p.Env, k.env...)
	return p
}

// round kills the first amqprun at m and wait, and returns when the second has run and
// nothing is left of either.
func (k *killing) round(m moment, wait time.Duration) trace {
	k.t.Helper()
	if m.queued {
		k.queue()
	} else {
		k.first.begin()
	}
	m.then(k)
	passes(wait)
	k.guarded = program.GuardOf(k.first.Process.Pid) != 0
	k.at = monotonic()
	k.first.send(syscall.SIGKILL)
	if !m.queued {
		k.second.begin()
	}
	if got := k.first.end(); got != 128+9 {
		k.t.Errorf("the first ended with %d before it was killed", got)
	}
	if got := k.second.end(); got != 0 {
		k.t.Fatalf("exit status %d of the second: %s", got, k.second.stderr)
	}
	tr := k.look(m)
	k.nothingLeft()
	return tr
}

// queue lets the first and the second join the wait queue, in this order. Then the
// holder releases.
func (k *killing) queue() {
	k.t.Helper()
	holder := k.prepare(nil, "cat")
	stdin, err := holder.StdinPipe()
	if err != nil {
		k.t.Fatal(err)
	}
	holder.begin()
	eventually(k.t, k.held, "the holder to hold")
	for i, p := range []*process{k.first, k.second} {
		p.begin()
		eventually(k.t, func() bool { return k.waiters() == i+1 }, "%d waiters", i+1)
	}
	stdin.Close()
}

// look fails if both commands ran at once, or if the round could not have shown it.
func (k *killing) look(m moment) trace {
	k.t.Helper()
	tr := readTrace(k.t, k.trace)
	if !k.guarded {
		// Only the leader of this tree dies with amqprun.
		tr.late = slices.DeleteFunc(tr.late,
			func(line string) bool { return !strings.Contains(line, "leader") })
		for _, pid := range k.first.marked() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		eventually(k.t, func() bool { return len(k.first.marked()) == 0 }, "the rest to die")
	}
	if len(tr.late) > 0 {
		k.t.Errorf("both commands ran, by %d lines: %s, ...", len(tr.late),
			strings.Join(tr.late[:min(3, len(tr.late))], "; "))
	}
	if tr.next <= k.at {
		k.t.Fatalf("the second command started %v before the kill", k.at-tr.next)
	}
	if m.after > 0 && tr.last <= k.at {
		k.t.Errorf("nothing of the first tree was seen after the kill")
	}
	return tr
}

// nothingLeft fails if a process, a guard or the queue of the lock stays.
func (k *killing) nothingLeft() {
	k.t.Helper()
	k.first.noneLeft()
	k.second.noneLeft()
	eventually(k.t, func() bool { return len(executing(k.program)) == 0 },
		"amqprun and its guard to end")
	if k.held() {
		k.t.Errorf("the queue of %s is left", k.lock)
	}
}

// says waits until the first amqprun says word. Nothing is polled here: the kill is to
// come within microseconds.
func (k *killing) says(word string) {
	k.t.Helper()
	_ = k.pipe.SetReadDeadline(time.Now().Add(patience))
	for {
		line, err := k.stderr.ReadString('\n')
		if err != nil {
			k.t.Fatalf("waited in vain for %q: %v", word, err)
		}
		if strings.Contains(line, word) {
			return
		}
	}
}

// starts waits until the first command has started the processes of these roles.
func (k *killing) starts(roles ...string) {
	k.t.Helper()
	eventually(k.t, func() bool {
		tr := readTrace(k.t, k.trace)
		return !slices.ContainsFunc(roles, func(role string) bool { return !tr.started[role] })
	}, "%v to start", roles)
}

// held reports whether there is a queue of the lock.
func (k *killing) held() bool {
	k.t.Helper()
	_, err := k.inspect(k.lock)
	var refused *amqp.Error
	if err != nil && (!errors.As(err, &refused) || refused.Code != amqp.NotFound &&
		refused.Code != amqp.ResourceLocked) {
		k.t.Fatal(err)
	}
	return err == nil || refused.Code == amqp.ResourceLocked
}

// waiters returns the length of the line.
func (k *killing) waiters() int {
	q, err := k.inspect(k.lock + "-W")
	if err != nil {
		return 0
	}
	return q.Consumers
}

func (k *killing) inspect(queue string) (amqp.Queue, error) {
	k.t.Helper()
	ch, err := k.conn.Channel()
	if err != nil {
		k.t.Fatal(err)
	}
	defer ch.Close()
	return ch.QueueDeclarePassive(queue, false, false, false, false, nil)
}

// executing lists the living processes that run the program at path, guards among them,
// which carry no mark.
func executing(path string) (pids []int) {
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && target == path {
			pid, _ := strconv.Atoi(strings.Split(link, "/")[2])
			if alive(pid) {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
