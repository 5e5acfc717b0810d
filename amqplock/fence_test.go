package amqplock

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

func TestTokensGrowWithEachGrant(t *testing.T) {
	t.Parallel()
	c, lock := testClient(t), testMutex()
	forget(t, c, lock)
	last := int64(0)
	for range 20 {
		l := mustAcquire(t, c, lock, WithFence())
		if l.Token() <= last {
			t.Errorf("token %d after %d", l.Token(), last)
		}
		last = l.Token()
		mustRelease(t, l)
	}
	runs := mustRead(t, c, lock, 100)
	if len(runs) != 20 || runs[19].Token != last || runs[19].Result != ResultReleased {
		t.Errorf("%d runs, the last is %+v", len(runs), runs[len(runs)-1])
	}
}

func TestALockWithoutFenceHasNoToken(t *testing.T) {
	t.Parallel()
	c := testClient(t)
	if got := mustAcquire(t, c, testMutex()).Token(); got != 0 {
		t.Errorf("token %d", got)
	}
}

// Holders of several slots at once get tokens in the order of their grants. The log is
// deleted meanwhile, and others keep a history without tokens.
func TestTokensGrowOverSlotsAndDeletions(t *testing.T) {
	t.Parallel()
	c := testClient(t)
	lock := testSemaphore(t, c)
	var mu sync.Mutex
	top, tokens, since := int64(0), 0, -1 // since the deletion of the log
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	take := func(ctx context.Context, opts ...Option) error {
		mu.Lock()
		before := top
		mu.Unlock()
		l, err := c.Acquire(ctx, lock, append(opts, WithSlots(3))...)
		if err != nil {
			return err
		}
		defer func() { _ = l.Release(context.Background()) }()
		mu.Lock()
		defer mu.Unlock()
		if token := l.Token(); token != 0 && token <= before {
			t.Errorf("token %d after %d", token, before)
		}
		top = max(top, l.Token())
		if tokens++; since >= 0 {
			since++
		}
		if tokens >= 20 && since >= 10 {
			cancel()
		}
		return nil
	}
	var group errgroup.Group
	for i := range 6 {
		group.Go(func() error {
			for ctx.Err() == nil {
				option := WithFence()
				if i == 0 {
					option = WithHistory()
				}
				if err := take(ctx, option); err != nil && ctx.Err() == nil {
					return err
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		<-time.After(3 * time.Second) // a log has to be a little older than that
		err := deleteLog(c, lock)
		mu.Lock()
		defer mu.Unlock()
		since = 0
		return err
	})
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if since < 10 {
		t.Errorf("only %d grants, %d of them since the log was deleted", tokens, since)
	}
}

func deleteLog(c *Client, lock Ref) error {
	conn, err := c.broker.Open(context.Background(), wire.ForLock)
	if err != nil {
		return err
	}
	defer conn.Close()
	return wire.NewRequestChannel(conn).Remove(wire.LogQueue(lock.Name))
}

// A holder without a token would be worse than none, and the lock is free again at once.
func TestNoTokenNoLock(t *testing.T) {
	t.Parallel()
	c, lock := testClient(t), testMutex()
	block(t, wire.LogQueue(lock.Name))
	_, err := c.Acquire(t.Context(), lock, WithFence())
	var known *Error
	if !errors.As(err, &known) || !errors.Is(err, ErrNotALock) {
		t.Errorf("got %v", err)
	}
	after, err := c.TryAcquire(t.Context(), lock)
	if err != nil {
		t.Fatalf("afterwards: %v", err)
	}
	mustRelease(t, after)
}

func TestFenceAndElasticExcludeEachOther(t *testing.T) {
	t.Parallel()
	c := newClient(t, Broker{})
	if err := c.Check(Semaphore("x"), WithFence(), WithElastic(nil)); !errors.Is(err, ErrConfig) {
		t.Errorf("got %v", err)
	}
}

// A typing error in a name must not leave a stream behind.
func TestNoSemaphoreNoLog(t *testing.T) {
	t.Parallel()
	c := testClient(t)
	lock := testMutex()
	lock.Kind = KindSemaphore
	if _, err := c.Acquire(t.Context(), lock, WithFence()); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if _, err := c.History(t.Context(), lock, 1); !errors.Is(err, ErrNotFound) {
		t.Errorf("history: %v", err)
	}
}

func TestAWaiterGetsALargerToken(t *testing.T) {
	t.Parallel()
	c, lock := testClient(t), testMutex()
	forget(t, c, lock)
	first := mustAcquire(t, c, lock, WithFence())
	waits := make(chan struct{}, 100)
	second := make(chan int64)
	go func() {
		l, err := c.Acquire(t.Context(), lock, WithFence(), OnWaiting(func(w Waiting) {
			if w.Ahead == 0 {
				waits <- struct{}{}
			}
		}))
		if err != nil {
			t.Error(err)
			close(second)
			return
		}
		second <- l.Token()
		_ = l.Release(context.Background())
	}()
	<-waits
	mustRelease(t, first)
	if token := <-second; token <= first.Token() {
		t.Errorf("token %d after %d", token, first.Token())
	}
}
