package locker

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/history"
	"github.com/amqprun/amqprun/amqplock/internal/testbroker"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// halfSecond is how long a newcomer waits for a sign of life.
const halfSecond = 500 * time.Millisecond

// rival is a run that the broker has granted our lock too: it has a grant in the log, and
// no queue.
type rival struct {
	t     *testing.T
	log   *history.Log
	from  *history.Follower
	grant history.Record
}

// fencedConfig is a lock of a fenced run, whose log is deleted in the end.
func fencedConfig(t *testing.T, kind wire.Kind) Config {
	cfg := testConfig(t, kind)
	cfg.Fence, cfg.sign = true, testbroker.Patience // a rival may be slow on a busy machine
	if kind == wire.Mutex {
		t.Cleanup(func() {
			if err := DestroyMutex(context.Background(), cfg.Broker, cfg.Name); err != nil {
				t.Errorf("clean up: %v", err)
			}
		})
	}
	return cfg
}

// newRival grants the lock to a rival, by a record alone.
func newRival(t *testing.T, cfg Config, id string, slots ...int) *rival {
	t.Helper()
	b, err := cfg.Broker.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := b.Open(t.Context(), wire.ForPublish)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	r := &rival{t: t, log: history.New(conn, cfg.Ref)}
	tail, err := r.log.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tail.Close()
	grant := history.Record{Kind: cfg.Kind, ID: id, Host: "elsewhere", User: "root", Slots: slots}
	if r.grant, err = tail.Grant(t.Context(), grant, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	if r.from, _ = tail.Follow(r.grant); r.from == nil {
		t.Skip("this broker grants nothing twice")
	}
	return r
}

// sign waits for a newer grant, and gives a sign of life. It returns when it has.
func (r *rival) sign(ctx context.Context) error {
	for {
		record, err := r.from.Next(ctx)
		if err != nil {
			return err
		}
		if r.from.Supersedes(record) {
			return r.from.Sign(ctx, 20*time.Second)
		}
	}
}

func (r *rival) end() error {
	return r.log.Append(r.t.Context(), history.Record{
		Type: history.TypeEnd, Kind: r.grant.Kind, ID: r.grant.ID, Token: r.grant.Token,
		At: time.Now(), Result: "lost",
	})
}

// runs are the newest n in the log.
func (r *rival) runs(n int) []history.Run {
	r.t.Helper()
	runs, err := r.log.Runs(r.t.Context(), n)
	if err != nil || len(runs) != n {
		r.t.Fatal(runs, err)
	}
	return runs
}

func TestAHolderStopsWhenItsLockIsGrantedAgain(t *testing.T) {
	t.Parallel()
	for kind, slots := range map[wire.Kind][]int{wire.Mutex: nil, wire.Semaphore: {1}} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			cfg := fencedConfig(t, kind)
			if kind == wire.Semaphore {
				cfg.Slots = 2
				cfg.Count = 2
			}
			cfg.Heartbeat = testbroker.Patience // the sign of life is good for twice as long
			lock := mustAcquire(t, cfg)
			granted := newRival(t, cfg, "rival", slots...)
			const want = "granted again to a run of root@elsewhere"
			if lost := waitLost(t, lock); !strings.Contains(lost.Reason, want) {
				t.Errorf("lost: %v", lost)
			}
			var alive []string
			released := make(chan error, 1)
			go func() {
				<-time.After(halfSecond / 2) // so long the work takes to stop
				released <- lock.Release(context.Background())
			}()
			ctx, cancel := context.WithTimeout(t.Context(), testbroker.Patience)
			defer cancel()
			_, err := granted.from.AwaitRivals(ctx, testbroker.Patience, 0, func(whose string) error {
				alive = append(alive, whose)
				return nil
			})
			if err != nil || len(alive) != 1 {
				t.Errorf("alive are %v, %v", alive, err)
			}
			if err := <-released; !errors.Is(err, fault.ErrLost) {
				t.Errorf("release: %v", err)
			}
		})
	}
}

// A grant of another slot, one without a token, and our own are nothing to stop for.
func TestAHolderGoesOnWhenOthersAreGrantedTheirs(t *testing.T) {
	t.Parallel()
	cfg := fencedConfig(t, wire.Semaphore)
	cfg.Slots = 1
	lock := mustAcquire(t, cfg)
	elsewhere := newRival(t, cfg, "elsewhere", 2)
	late := history.Record{
		Type: history.TypeGrant, Kind: cfg.Kind, ID: "late", Slots: []int{1}, At: time.Now(),
	}
	if err := elsewhere.log.Append(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	newRival(t, cfg, lock.log.grant.ID, 1)
	newest := newRival(t, cfg, "another", 3)
	if err := lock.Verify(t.Context()); err != nil {
		t.Errorf("verify: %v", err)
	}
	if err := lock.Release(t.Context()); err != nil { // it has read all of that, as its end shows
		t.Errorf("release: %v", err)
	}
	if end := newest.runs(1)[0].End; end != nil {
		t.Errorf("an end of %s", end.ID)
	}
}

func TestANewcomerWaitsHalfASecondAfterACrash(t *testing.T) {
	t.Parallel()
	cfg := fencedConfig(t, wire.Mutex)
	cfg.sign = 0 // as usual
	newRival(t, cfg, "crashed").log.Conn().Abort()
	begun := time.Now()
	lock := mustAcquire(t, cfg)
	if took := time.Since(begun); took < halfSecond {
		t.Errorf("it took %s", took)
	}
	if err := lock.Release(t.Context()); err != nil {
		t.Error(err)
	}
	if end := newRival(t, cfg, "last").runs(2)[0].End; end == nil || end.Result != "released" {
		t.Errorf("the last end is %+v", end)
	}
}

func TestANewcomerWaitsForTheEndOfALiveHolder(t *testing.T) {
	t.Parallel()
	cfg := fencedConfig(t, wire.Mutex)
	earlier := newRival(t, cfg, "earlier")
	warned := make(chan string, 10)
	cfg.Log = onWarning(func(text string) { warned <- text })
	var signing sync.WaitGroup
	defer signing.Wait()
	ended := make(chan time.Time, 1)
	signing.Go(func() {
		if err := earlier.sign(t.Context()); err != nil {
			t.Error(err)
		}
		<-time.After(2 * halfSecond)
		ended <- time.Now()
		if err := earlier.end(); err != nil {
			t.Error(err)
		}
	})
	lock := mustAcquire(t, cfg)
	granted := time.Now()
	if granted.Before(<-ended) {
		t.Error("it did not wait for the end")
	}
	const want = "was granted twice: waiting for the end of a run of root@elsewhere"
	if got := <-warned; !strings.Contains(got, want) {
		t.Errorf("warned: %s", got)
	}
	if err := lock.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

// The connection of a lock ends, and its command needs a while to stop.
func TestANewcomerWaitsForOneThatIsStillStopping(t *testing.T) {
	t.Parallel()
	cfg := fencedConfig(t, wire.Mutex)
	stopping := mustAcquire(t, cfg)
	if stopping.log.follower == nil {
		t.Skip("this broker grants nothing twice")
	}
	stopping.link.Lock.Abort()
	_ = waitLost(t, stopping)
	released := make(chan time.Time, 1)
	go func() {
		<-time.After(3 * halfSecond)
		_ = stopping.Release(context.Background())
		released <- time.Now()
	}()
	mustAcquire(t, cfg)
	granted := time.Now()
	if end := <-released; granted.Before(end.Add(-halfSecond)) {
		t.Errorf("granted %s before the other had stopped", end.Sub(granted))
	}
}

func TestOneThatDoesNotWaitGivesUpForALiveHolder(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"-n", "-w"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			cfg := fencedConfig(t, wire.Mutex)
			earlier := newRival(t, cfg, "earlier")
			ctx, end := context.WithCancelCause(t.Context())
			defer end(nil)
			acquire := TryAcquire
			if how == "-w" {
				acquire = Acquire
				cfg.Log = onWarning(func(text string) {
					if strings.Contains(text, "was granted twice: waiting for") {
						end(context.DeadlineExceeded) // its time is over
					}
				})
			}
			var signing sync.WaitGroup
			signing.Go(func() {
				for earlier.sign(t.Context()) == nil {
				}
			})
			lock, err := acquire(ctx, cfg)
			if lock != nil {
				_ = lock.Release(t.Context())
			}
			if !errors.Is(err, fault.ErrNotAcquired) ||
				!strings.Contains(err.Error(), "granted twice: a run of root@elsewhere may have it still") {
				t.Errorf("got %v", err)
			}
			earlier.log.Conn().Abort()
			signing.Wait()
			if end := newRival(t, cfg, "next").runs(2)[0].End; end == nil || end.Result != "withdrawn" {
				t.Errorf("the end is %+v", end)
			}
		})
	}
}

// A history that is deleted, or a publish connection that ends, costs nobody the lock.
// The holder reads the new history.
func TestAHolderOutlivesItsHistory(t *testing.T) {
	t.Parallel()
	cfg := fencedConfig(t, wire.Mutex)
	lock := mustAcquire(t, cfg)
	lock.link.Publish().Abort()
	if err := lock.link.Requests.Remove(wire.LogQueue(cfg.Name)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-lock.Context().Done():
		t.Fatal(context.Cause(lock.Context()))
	case <-time.After(halfSecond):
	}
	if err := lock.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	newRival(t, cfg, "rival")
	if lost := waitLost(t, lock); !strings.Contains(lost.Reason, "granted again") {
		t.Errorf("lost: %v", lost)
	}
}

// The same after it was regained: the connection from before is of no use.
func TestARegainedHolderOutlivesItsHistory(t *testing.T) {
	t.Parallel()
	cfg := regainable(t, wire.Mutex)
	lock := mustRegain(t, cut(t, cfg))
	if err := lock.link.Requests.Remove(wire.LogQueue(cfg.Name)); err != nil {
		t.Fatal(err)
	}
	newRival(t, cfg, "rival")
	if lost := waitLost(t, lock); !strings.Contains(lost.Reason, "granted again") {
		t.Errorf("lost: %v", lost)
	}
}
