package amqplock

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/history"
	"github.com/amqprun/amqprun/amqplock/internal/testbroker"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// forget removes the history of a mutex at the end of the test.
func forget(t *testing.T, c *Client, lock Ref) {
	t.Helper()
	t.Cleanup(func() {
		if err := c.DestroyMutex(context.Background(), lock.Name); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
}

func mustRead(t *testing.T, c *Client, lock Ref, n int) []Run {
	t.Helper()
	runs, err := c.History(t.Context(), lock, n)
	if err != nil {
		t.Fatal(err)
	}
	return runs
}

func mustRelease(t *testing.T, l *Lock) {
	t.Helper()
	if err := l.Release(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func about(id string) Option {
	return WithAbout(func() About {
		return About{ID: id, Host: "h", PID: 7, User: "u", Command: "make all", Job: "j",
			Metadata: map[string]string{"k": "v"}}
	})
}

func TestHistoryHasEveryRun(t *testing.T) {
	t.Parallel()
	c, lock := testClient(t), testMutex()
	forget(t, c, lock)
	status := 3
	for id, ending := range map[string]Ending{
		"quick": {}, "failed": {Result: "ended", Status: &status},
		"killed": {Result: "ended", Signal: "SIGTERM"},
	} {
		begun := time.Now()
		l := mustAcquire(t, c, lock, WithHistory(), about(id))
		l.SetEnding(ending)
		mustRelease(t, l)
		runs := mustRead(t, c, lock, 1)
		if len(runs) != 1 {
			t.Fatalf("%d runs: %+v", len(runs), runs)
		}
		got := runs[0]
		if got.ID != id || got.Command != "make all" || got.Metadata["k"] != "v" || got.PID != 7 {
			t.Errorf("%s: about %+v", id, got.About)
		}
		early := got.Granted.Before(begun.Add(-time.Second))
		if early || got.Ended.Before(got.Granted) || got.Seconds <= 0 {
			t.Errorf("%s: from %s to %s, %g s", id, got.Granted, got.Ended, got.Seconds)
		}
		want := ending.Result
		if want == "" {
			want = ResultReleased
		}
		if got.Result != want || got.Signal != ending.Signal ||
			(got.Status == nil) != (ending.Status == nil) {
			t.Errorf("%s: ended %+v", id, got)
		}
	}
	if runs := mustRead(t, c, lock, 100); len(runs) != 3 {
		t.Errorf("%d runs in all", len(runs))
	}
}

func TestHistoryKnowsWhoHoldsAndWhoLeftNoEnd(t *testing.T) {
	t.Parallel()
	c := testClient(t)
	lock := testSemaphore(t, c)
	mustAcquire(t, c, lock, WithSlots(2), WithHistory(), about("holds"))
	waitFor(t, "the grant", func() bool {
		_, err := c.History(t.Context(), lock, 1)
		return err == nil
	})
	killed := history.Record{
		Type: history.TypeGrant, Kind: wire.Semaphore, ID: "gone", At: time.Now().Add(-time.Minute),
	}
	conn, err := c.broker.Open(t.Context(), wire.ForPublish)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := history.New(conn, wire.Ref(lock)).Append(t.Context(), killed); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "one holds, and the other has left no end", func() bool {
		results := map[string]string{}
		for _, run := range mustRead(t, c, lock, 9) {
			results[run.ID] = run.Result
		}
		return results["gone"] == ResultUnknown && results["holds"] == ResultRunning
	})
}

func TestAnEvictionIsALossInTheHistory(t *testing.T) {
	t.Parallel()
	c, lock := testClient(t), testMutex()
	forget(t, c, lock)
	l := mustAcquire(t, c, lock, WithHistory(), about("evicted"))
	var err error
	defer func() {
		if t.Failed() {
			t.Log("the last answer:", err)
		}
	}()
	waitFor(t, "it answers", func() bool {
		err = c.Evict(t.Context(), lock, "evicted", "me")
		return err == nil
	})
	<-l.Context().Done()
	if err := l.Release(context.Background()); !errors.Is(err, ErrLost) {
		t.Fatal(err)
	}
	if runs := mustRead(t, c, lock, 1); len(runs) != 1 || runs[0].Result != ResultLost {
		t.Errorf("got %+v", runs)
	}
}

func TestFollowHistory(t *testing.T) {
	t.Parallel()
	c, lock := testClient(t), testMutex()
	forget(t, c, lock)
	mustRelease(t, mustAcquire(t, c, lock, WithHistory(), about("a")))
	ctx, cancel := context.WithCancel(t.Context())
	shown := make(chan string)
	done := make(chan error, 1)
	go func() {
		done <- c.FollowHistory(ctx, lock, 10, func(run Run) { shown <- run.ID + " " + run.Result })
	}()
	expect := func(want string) {
		t.Helper()
		select {
		case got := <-shown:
			if got != want {
				t.Errorf("shown %q, want %q", got, want)
			}
		case err := <-done:
			t.Fatal(err)
		}
	}
	expect("a released")
	b := mustAcquire(t, c, lock, WithHistory(), about("b"))
	expect("b running")
	go func() { _ = b.Release(context.Background()) }()
	expect("b released")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// It does not connect again, so a caller that heard nothing would wait for ever.
func TestFollowHistoryEndsWithItsConnection(t *testing.T) {
	t.Parallel()
	b, lock := testBroker(t), testMutex()
	c := newClient(t, b)
	forget(t, c, lock)
	mustRelease(t, mustAcquire(t, c, lock, WithHistory()))
	dialed := make(chan net.Conn, 10)
	b.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err == nil {
			dialed <- conn
		}
		return conn, err
	}
	ctx, cancel := context.WithTimeout(t.Context(), testbroker.Patience)
	defer cancel()
	err := newClient(t, b).FollowHistory(ctx, lock, 1, func(Run) {
		for len(dialed) > 0 {
			_ = (<-dialed).Close()
		}
	})
	if !errors.Is(err, ErrUnreachable) || ctx.Err() != nil {
		t.Errorf("got %v, want ErrUnreachable at once", err)
	}
}

func TestALockWithoutHistory(t *testing.T) {
	t.Parallel()
	c, lock := testClient(t), testMutex()
	mustRelease(t, mustAcquire(t, c, lock))
	if _, err := c.History(t.Context(), lock, 1); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestDestroyRemovesTheHistory(t *testing.T) {
	t.Parallel()
	c := testClient(t)
	mutex, semaphore := testMutex(), testSemaphore(t, c)
	for lock, destroy := range map[Ref]func() error{
		mutex:     func() error { return c.DestroyMutex(t.Context(), mutex.Name) },
		semaphore: func() error { return c.Semaphore(semaphore.Name).Destroy(t.Context()) },
	} {
		opts := []Option{WithHistory()}
		if lock.Kind == KindSemaphore {
			opts = append(opts, WithSlots(1))
		}
		mustRelease(t, mustAcquire(t, c, lock, opts...))
		mustRead(t, c, lock, 1)
		for range 2 { // what does not exist is no error
			if err := destroy(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.History(t.Context(), lock, 1); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", lock, err)
		}
	}
	l := mustAcquire(t, c, mutex)
	if err := c.DestroyMutex(t.Context(), mutex.Name); !errors.Is(err, ErrNotAcquired) {
		t.Errorf("while it is held: %v", err)
	}
	mustRelease(t, l)
}

// A history that cannot be written costs a warning, and not the lock.
func TestAQueueInTheWayCostsTheRecordAlone(t *testing.T) {
	t.Parallel()
	lock := testMutex()
	warned := &strings.Builder{}
	b := testBroker(t)
	b.Log = slog.New(slog.NewTextHandler(warned, &slog.HandlerOptions{Level: slog.LevelWarn}))
	c := newClient(t, b)
	block(t, lock.Name+"-L")
	l := mustAcquire(t, c, lock, WithHistory())
	mustRelease(t, l)
	if n := strings.Count(warned.String(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings: %s", n, warned)
	}
}

// block makes a queue that is no log.
func block(t *testing.T, queue string) {
	t.Helper()
	conn, err := amqp.Dial(testBroker(t).URLs[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	channel, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := channel.QueueDeclare(queue, false, false, true, false, nil); err != nil {
		t.Fatal(err)
	}
}

// A mutex and a semaphore of one name share the stream, and its tokens.
func TestEachKindHasItsOwnRuns(t *testing.T) {
	t.Parallel()
	c := testClient(t)
	semaphore := testSemaphore(t, c)
	mutex := Mutex(semaphore.Name)
	first := mustAcquire(t, c, mutex, WithFence(), about("mutex"))
	mustRelease(t, first)
	second := mustAcquire(t, c, semaphore, WithFence(), WithSlots(1), about("semaphore"))
	mustRelease(t, second)
	if second.Token() <= first.Token() {
		t.Errorf("token %d after %d", second.Token(), first.Token())
	}
	for lock, want := range map[Ref]string{mutex: "mutex", semaphore: "semaphore"} {
		if runs := mustRead(t, c, lock, 10); len(runs) != 1 || runs[0].ID != want {
			t.Errorf("%s: %+v", lock, runs)
		}
	}
}
