// Package nemesis breaks things at random under twenty contenders for one lock. make
// test-nemesis runs it.
package nemesis

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/amqprun/amqprun/test/lab/proxy"
	"github.com/amqprun/amqprun/test/lab/rig"
)

func TestMain(m *testing.M) { os.Exit(rig.Main(m)) }

const workers = 20

// worker starts one contender after the other, all through one proxy.
type worker struct {
	n     int
	proxy *proxy.Proxy

	mu      sync.Mutex
	current *rig.Contender
	ended   []*rig.Contender
}

// war is a run of the nemesis.
type war struct {
	*rig.Lock
	t       *testing.T
	random  *rand.Rand // of the nemesis only
	broker  *rig.Broker
	workers []*worker

	mu sync.Mutex
	// abrupt is when connections of contenders ended, and the broker freed their lock at
	// once.
	abrupt map[string][]time.Duration
	// stopped are contenders that were stopped; they may not have seen that.
	stopped map[string]bool
}

func length(t *testing.T) time.Duration {
	text := os.Getenv("AMQPRUN_LAB_LENGTH")
	if text == "" {
		return time.Minute
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestNemesis(t *testing.T) {
	const slots = 3
	for kind, lock := range map[string]func(*testing.T) *rig.Lock{
		"semaphore":        func(t *testing.T) *rig.Lock { return rig.NewLock(t, slots) },
		"fenced semaphore": func(t *testing.T) *rig.Lock { return rig.NewLock(t, slots).Fence() },
		"fenced mutex":     func(t *testing.T) *rig.Lock { return rig.NewLock(t, 0).Fence() },
	} {
		t.Run(kind, func(t *testing.T) { wage(t, lock(t)) })
	}
}

func wage(t *testing.T, lock *rig.Lock) {
	t.Helper()
	w := &war{
		Lock:    lock,
		t:       t,
		random:  rig.Random(t),
		broker:  rig.NewBroker(t),
		abrupt:  map[string][]time.Duration{},
		stopped: map[string]bool{},
	}
	first := w.Start("first", w.broker.URL, "--", "-for", "100ms") // creates a semaphore
	first.AwaitExit(0)
	stop := make(chan struct{})
	var working sync.WaitGroup
	for i := range workers {
		p, err := proxy.Listen(w.broker.Address())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		x := &worker{n: i, proxy: p}
		w.workers = append(w.workers, x)
		own := rand.New(rand.NewPCG(w.random.Uint64(), 0))
		working.Go(func() { w.work(x, own, stop) })
	}
	began := rig.Now()
	for rig.Now()-began < length(t) && !t.Failed() {
		w.strike()
		rig.Pass(time.Duration(w.random.IntN(1000)) * time.Millisecond)
	}
	close(stop)
	for _, x := range w.workers {
		x.proxy.Break(proxy.None(), proxy.None())
	}
	working.Wait()
	last := w.Start("last", w.broker.URL, "--wait", "30", "--", "-for", "100ms")
	last.AwaitExit(0)
	w.judge()
}

// work runs contenders until stop is closed. The command of each ends at SIGTERM.
func (w *war) work(x *worker, random *rand.Rand, stop <-chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		c := w.Start(fmt.Sprintf("%s-%d-%d", rig.Holder, x.n, n), w.broker.Through(x.proxy.Addr()),
			"--wait", "30", "--", "-for", fmt.Sprintf("%dms", 50+random.IntN(5000*w.Slots)))
		x.mu.Lock()
		x.current = c
		x.mu.Unlock()
		deadline := time.After(2 * rig.Patience)
		for !c.HasEnded() {
			select {
			case <-deadline:
				w.t.Errorf("%s does not end", c.ID)
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
		x.mu.Lock()
		x.ended = append(x.ended, c)
		x.mu.Unlock()
		if !slices.Contains([]int{0, 69, 75, 76, -1}, c.Code()) {
			w.t.Errorf("%s exited with %d:\n%s", c.ID, c.Code(), c.Messages())
		}
	}
}

// strike makes one fault, at one worker, or to the broker.
func (w *war) strike() {
	x, victim := w.victim()
	if victim == nil {
		return
	}
	// Shorter and much longer than a lease.
	while := time.Duration(2000+w.random.IntN(12000)) * time.Millisecond
	later := func(undo func()) { time.AfterFunc(while, undo) }
	mend := func() { x.proxy.Break(proxy.None(), proxy.None()) }
	fault := w.random.IntN(12)
	w.t.Logf("%.3f fault %d at %s for %s", rig.Now().Seconds(), fault, victim.ID, while)
	switch fault {
	case 0, 1:
		x.proxy.Break(proxy.Blackhole(), proxy.Blackhole())
		later(mend)
	case 2:
		x.proxy.Break(proxy.Blackhole(), proxy.None())
		later(mend)
	case 3:
		x.proxy.Break(proxy.None(), proxy.Blackhole())
		later(mend)
	case 4:
		x.proxy.Break(proxy.Heartbeats(), proxy.Heartbeats())
		later(mend)
	case 5:
		x.proxy.Break(proxy.Delay(while/10), proxy.Delay(while/10))
		later(mend)
	case 6, 7:
		w.note(victim.ID)
		x.proxy.Cut(fault == 6)
	case 8:
		_ = syscall.Kill(victim.Pid(), syscall.SIGKILL)
	case 9, 10:
		w.stopped[victim.ID] = true
		_ = syscall.Kill(victim.Pid(), syscall.SIGSTOP)
		later(func() { _ = syscall.Kill(victim.Pid(), syscall.SIGCONT) })
	case 11:
		w.broker.Signal(syscall.SIGSTOP)
		rig.Pass(while / 4)
		w.broker.Signal(syscall.SIGCONT)
	}
}

// victim is a holder mostly, otherwise anybody; nil if it has just ended.
func (w *war) victim() (*worker, *rig.Contender) {
	chosen := w.workers[w.random.IntN(workers)]
	if w.random.IntN(4) > 0 {
		for _, i := range w.random.Perm(workers) {
			if c := w.workers[i].contender(); c != nil && c.Said("acquired ") != 0 {
				chosen = w.workers[i]
			}
		}
	}
	return chosen, chosen.contender()
}

// contender is the current one, unless it has ended.
func (x *worker) contender() *rig.Contender {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.current == nil || x.current.HasEnded() {
		return nil
	}
	return x.current
}

func (w *war) note(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.abrupt[id] = append(w.abrupt[id], rig.Now())
}

// judge asks the oracle. Two commands in one slot are excused where the first one's
// connection was cut. That is for the grace after the cut. It is for the lease where
// amqprun was stopped too, so that only its guard could act.
func (w *war) judge() {
	h := w.History()
	excused, freed := map[string]bool{}, map[string]time.Duration{}
	var worst time.Duration
	for _, p := range h.Pairs() {
		excuse := rig.Grace + rig.Slack
		if w.stopped[p.First.ID] {
			excuse = rig.Lease
		}
		if !slices.ContainsFunc(w.abrupt[p.First.ID], func(cut time.Duration) bool {
			return cut < p.Second.Start && p.First.Last <= cut+excuse
		}) {
			w.t.Errorf("two commands at once in slot %d for %s: %s, which started at %.3f, "+
				"got the signal at %.3f and lived until %.3f, and %s, which started at %.3f",
				p.First.Slot, p.Length, p.First.ID, p.First.Start.Seconds(),
				p.First.Signal.Seconds(), p.First.Last.Seconds(),
				p.Second.ID, p.Second.Start.Seconds())
			continue
		}
		worst = max(worst, p.Length)
		excused[p.First.ID], excused[p.Second.ID] = true, true
		freed[p.First.ID] = w.abrupt[p.First.ID][0]
	}
	lost, err := h.LostUpdates()
	if err != nil {
		w.t.Error(err)
	}
	for _, element := range lost {
		if id, _, _ := strings.Cut(element, "."); !excused[id] {
			w.t.Errorf("lost update: %s", element)
		}
	}
	codes := map[int]int{}
	for _, x := range w.workers {
		for _, c := range x.ended {
			codes[c.Code()]++
		}
	}
	if err := h.Check(w.Grants(freed)); err != nil {
		w.t.Error(err)
	}
	w.t.Logf("%d commands ran; exit statuses %v; %d pairs excused, the longest overlap %s",
		len(h.Runs), codes, len(excused)/2, worst)
	if len(h.Runs) < int(length(w.t)/(10*time.Second)) {
		w.t.Errorf("only %d commands ran", len(h.Runs))
	}
}

// The same war against amqprun without one of its precautions; long enough for the right
// fault to hit the right one.
func TestControls(t *testing.T) {
	t.Setenv("AMQPRUN_LAB_LENGTH", "3m")
	for _, weakness := range []string{"has no lease", "has a guard that knows no lease"} {
		t.Run(weakness, func(t *testing.T) {
			rig.Control(t, weakness, "TestNemesis/semaphore", "two commands at once in slot")
		})
	}
}
