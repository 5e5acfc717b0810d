package amqplock

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// runOnce is a run under a mutex that ends so; it returns whether it ran.
func runOnce(
	ctx context.Context, c *Client, lock Ref, period time.Duration, ending Ending,
) (bool, error) {
	l, err := c.Acquire(ctx, lock, WithOnce(period), WithAbout(func() About {
		return About{ID: "x", Host: "host1", User: "me"}
	}))
	if errors.Is(err, ErrNotAcquired) && ctx.Err() == nil {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	l.SetEnding(ending)
	return true, l.Release(context.Background())
}

func ended(status int) Ending { return Ending{Result: "ended", Status: &status} }

func TestOnce(t *testing.T) {
	t.Parallel()
	c, lock := testClient(t), testMutex()
	forget(t, c, lock)
	run := func(ending Ending, want bool) {
		t.Helper()
		ran, err := runOnce(t.Context(), c, lock, time.Hour, ending)
		if err != nil || ran != want {
			t.Fatalf("ran: %t, %v; want %t", ran, err, want)
		}
	}
	run(ended(3), true)                                    // it failed
	run(Ending{Result: "ended", Signal: "SIGKILL"}, true)  // it was killed
	run(Ending{Result: "lost", Status: new(int)}, true)    // what it did may be half done
	mustRelease(t, mustAcquire(t, c, lock, WithHistory())) // says nothing
	run(ended(0), true)
	run(ended(0), false)
	_, err := c.Acquire(t.Context(), lock, WithOnce(time.Hour))
	if !errors.Is(err, ErrNotAcquired) || !strings.Contains(err.Error(), "me@host1") {
		t.Errorf("got %v", err)
	}
	if runs := mustRead(t, c, lock, 1); runs[0].Result != ResultSkipped {
		t.Errorf("got %+v", runs)
	}
	waitFor(t, "a second is over", func() bool {
		ran, err := runOnce(t.Context(), c, lock, time.Second, ended(0))
		return ran && err == nil
	})
}

func TestOnceFindsASuccessBehindMuchElse(t *testing.T) {
	t.Parallel()
	c, lock := testClient(t), testMutex()
	forget(t, c, lock)
	if ran, err := runOnce(t.Context(), c, lock, time.Hour, ended(0)); !ran || err != nil {
		t.Fatal(ran, err)
	}
	for range 150 { // two records each
		mustRelease(t, mustAcquire(t, c, lock, WithHistory()))
	}
	if ran, err := runOnce(t.Context(), c, lock, time.Hour, ended(0)); ran || err != nil {
		t.Error(ran, err)
	}
}

// Three hosts start the same short job at the same time, again and again.
func TestOnceOfThree(t *testing.T) {
	t.Parallel()
	c := testClient(t)
	for range 10 {
		lock := testMutex()
		var ran atomic.Int32
		var group errgroup.Group
		for range 3 {
			group.Go(func() error {
				did, err := runOnce(t.Context(), c, lock, time.Hour, ended(0))
				if did {
					ran.Add(1)
				}
				return err
			})
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		if n := ran.Load(); n != 1 {
			t.Errorf("%d runs", n)
		}
		if err := c.DestroyMutex(t.Context(), lock.Name); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOnceIsForAMutex(t *testing.T) {
	t.Parallel()
	c := newClient(t, Broker{})
	for _, err := range []error{
		c.Check(Semaphore("x"), WithOnce(time.Hour)), c.Check(Mutex("x"), WithOnce(-time.Hour)),
	} {
		if !errors.Is(err, ErrConfig) {
			t.Errorf("got %v", err)
		}
	}
}

// Without an error the lock would have no token, and would be taken each time.
func TestATimeOfZeroIsRefused(t *testing.T) {
	t.Parallel()
	c := newClient(t, Broker{})
	for name, opt := range map[string]Option{"once": WithOnce(0), "regain": WithRegain(0)} {
		if err := c.Check(Mutex("x"), opt); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := c.Check(Mutex("x"), WithOnce(0), WithOnce(time.Hour)); err != nil { // the later counts
		t.Error(err)
	}
}
