package rig

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Trial has contenders with --on-loss pause take a mutex in turn, and as many a semaphore
// with two slots, while faults hit their broker. Not one of their commands may be
// stopped, and no two of a slot may overlap: they leave each other's locks alone.
type Trial struct {
	URLs   []string // of the nodes
	Faults []Fault
	// Twice says that the broker can grant a lock twice after one of the faults. The
	// earlier run stops then.
	Twice bool
}

// Fault is one that a Trial may draw.
type Fault struct {
	Name string
	// Strike returns how many faults it has made, when the broker works again.
	Strike func(t *testing.T, random *rand.Rand) int
}

// maxUnbroken is how many faults may follow one another before contenders have their
// locks again. They try for two minutes, and on a busy machine a broker takes half a
// minute to come back.
const maxUnbroken = 3

// CloseAll is an Erlang expression. It closes all connections, and then three times each
// with a probability of a half. Contenders are then in the middle of taking a lock again.
// It does not wait long for nodes that are cut off. They list no connections, and a
// connection that asks them something does not close.
const CloseAll = `Close = fun(Which) ->
	[spawn(fun() -> rabbit_networking:close_connection(P, "by a test") end) ||
		P <- rabbit_networking:connections(), Which()] end,
	{_, Ref} = spawn_monitor(fun() ->
		Close(fun() -> true end),
		[begin timer:sleep(rand:uniform(1500)), Close(fun() -> rand:uniform(2) == 1 end) end ||
			_ <- [1, 2, 3]] end),
	receive {'DOWN', Ref, process, _, _} -> ok after 20000 -> slow end.`

// Closes is how many faults CloseAll makes.
const Closes = 4

const (
	trialContenders = 20 // for each lock
	// trialRegain is longer than a node may be away, on a busy machine too.
	trialRegain = 120 * time.Second
)

// faults is how many faults the trial makes, at least. A single broker is back in
// seconds, a node of a cluster in tens of them. By default eight kinds of cluster meet
// 40, and three brokers 165.
func (tr Trial) faults(t *testing.T) int {
	t.Helper()
	if len(tr.URLs) == 1 {
		return 11 * Faults(t) / 2
	}
	return (Faults(t) + 1) / 2
}

// Run makes that many faults, and more until a command of each lock was paused.
func (tr Trial) Run(t *testing.T) {
	t.Helper()
	random := Random(t)
	locks := map[string]*Lock{"mutex": NewLock(t, 0), "semaphore": NewLock(t, 2)}
	for kind, l := range locks {
		tr.start(l, 0, kind, 50*time.Millisecond).AwaitExit(0) // creates a semaphore
	}
	// A quorum queue that is created just before the death of a node may never answer.
	Pass(5 * time.Second)
	going, stop := context.WithCancel(t.Context())
	waiting, giveUp := context.WithCancel(t.Context())
	var working sync.WaitGroup
	defer working.Wait() // also after t.Fatal
	defer giveUp()
	defer stop()
	for kind, l := range locks {
		for i := range trialContenders {
			working.Go(func() { tr.work(going, waiting, l, i, kind) })
		}
	}
	made, most := map[string]int{}, tr.faults(t)
	for n, unbroken := 0, 0; !t.Failed() && (n < most || !allPaused(locks)); unbroken++ {
		// The others hit contenders that take a lock again.
		if n >= most || unbroken == maxUnbroken || random.IntN(2) == 0 {
			awaitWork(t, locks)
			unbroken = 0
		}
		f := tr.Faults[random.IntN(len(tr.Faults))]
		t.Logf("%.3f %s", Now().Seconds(), f.Name)
		hits := f.Strike(t, random)
		made[f.Name] += hits
		n += hits
		Pass(time.Duration(random.IntN(2000)) * time.Millisecond)
	}
	stop()
	defer time.AfterFunc(3*Patience, giveUp).Stop()
	working.Wait()
	t.Logf("faults: %v", made)
	for kind, l := range locks {
		tr.judge(l, kind)
	}
}

func (tr Trial) start(l *Lock, i int, id string, length time.Duration) *Contender {
	// Each begins with another node.
	i %= len(tr.URLs)
	urls := strings.Join(slices.Concat(tr.URLs[i:], tr.URLs[:i]), " ")
	return l.Start(id, urls, "--on-loss", "pause", "--regain", fmt.Sprint(trialRegain),
		"--connect-timeout", "30", "--", "-for", length.String())
}

// awaitWork waits until a command runs under each lock. A run that has ended while it was
// cut off could not say so. Its lock is nobody's until it may not take it again.
func awaitWork(t *testing.T, locks map[string]*Lock) {
	t.Helper()
	for kind, l := range locks {
		WaitFor(t, trialRegain+Patience, "a command runs with the "+kind,
			func() bool { return l.count(works) > 0 })
	}
}

func works(c *Contender) bool { return !c.HasEnded() && c.Said("^.*] started ") != 0 }

func allPaused(locks map[string]*Lock) bool {
	for _, l := range locks {
		if l.count(wasPaused) == 0 {
			return false
		}
	}
	return true
}

func wasPaused(c *Contender) bool {
	return c.Said("the command goes on; it was paused for") != 0
}

// work runs one contender after the other until going ends. It waits for the last until
// waiting ends.
func (tr Trial) work(going, waiting context.Context, l *Lock, i int, kind string) {
	for n := 0; going.Err() == nil; n++ {
		c := tr.start(l, i, fmt.Sprintf("%s-%d-%d", kind, i, n),
			time.Duration(200+rand.IntN(3000))*time.Millisecond)
		select {
		case <-c.done:
		case <-waiting.Done():
			l.t.Errorf("%s does not end", c.ID)
			return
		}
	}
}

// endedItself is what is said of a command that ended before it could be paused.
const endedItself = "lost .*; the command (had just ended|was stopped in .* and exited with 0)$"

// judge checks that each command went on to its end, unless its lock was granted again.
func (tr Trial) judge(l *Lock, kind string) {
	l.t.Helper()
	twice, late := 0, 0
	for _, c := range l.all {
		switch {
		case !c.HasEnded() || c.Code() == 0:
		case c.Code() == 69 && c.Said("connected to amqp") == 0: // its first connection
		case c.Code() == 76 && c.Said(endedItself) != 0:
			late++
		case tr.Twice && c.Code() == 76 && c.Said("granted (again )?to a run of") != 0:
			twice++
		default:
			l.t.Errorf("%s exited with %d:\n%s", c.ID, c.Code(), c.Messages())
		}
	}
	l.t.Logf("%s: of %d commands %d were paused; %d stopped for a second grant, "+
		"and %d had ended when the lock was lost", kind, len(l.all), l.count(wasPaused), twice, late)
	l.Verdict(0)
}

// Faults is AMQPRUN_LAB_FAULTS, or 10.
func Faults(t *testing.T) int {
	t.Helper()
	text := os.Getenv("AMQPRUN_LAB_FAULTS")
	if text == "" {
		return 10
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Random draws faults. AMQPRUN_LAB_SEED draws the same again.
func Random(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("AMQPRUN_LAB_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("AMQPRUN_LAB_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}
