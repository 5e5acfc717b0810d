package locker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.uber.org/goleak"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/testbroker"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The names of what all packages share.
var (
	testURL = testbroker.URL
	testLog = testbroker.Log
	waitFor = testbroker.WaitFor
)

// onLog calls f with each record. The calls do not overlap.
func onLog(f func(text string)) *slog.Logger {
	return slog.New(&logFunc{f: f, least: slog.LevelDebug})
}

// onWarning is onLog for warnings alone.
func onWarning(f func(text string)) *slog.Logger {
	return slog.New(&logFunc{f: f, least: slog.LevelWarn})
}

type logFunc struct {
	mu    sync.Mutex
	f     func(text string)
	least slog.Level
}

func (l *logFunc) Enabled(_ context.Context, level slog.Level) bool { return level >= l.least }
func (l *logFunc) WithAttrs([]slog.Attr) slog.Handler               { return l }
func (l *logFunc) WithGroup(string) slog.Handler                    { return l }

func (l *logFunc) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.f(r.Message)
	return nil
}

// testConfig is a lock that no other test has.
func testConfig(t *testing.T, kind wire.Kind) Config {
	t.Helper()
	cfg := Config{
		Broker:   wire.Broker{URLs: []string{testURL(t)}, Log: testLog(t)},
		Ref:      wire.Ref{Kind: kind, Name: testbroker.Name()},
		StopTime: 5 * time.Second,
	}
	if kind == wire.Semaphore {
		t.Cleanup(func() {
			if err := Destroy(context.Background(), cfg.Broker, cfg.Name); err != nil {
				t.Errorf("clean up: %v", err)
			}
		})
	}
	return cfg
}

// mustAcquire takes the lock and gives it back at the end of the test.
func mustAcquire(t *testing.T, cfg Config) *Holder {
	t.Helper()
	lock, err := Acquire(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lock.Release(context.Background()) })
	return lock
}

// waitLost waits for the end of the lock's context and returns its cause.
func waitLost(t *testing.T, lock *Holder) *fault.Error {
	t.Helper()
	testbroker.Receive(t, "the loss of the lock", lock.Context().Done())
	var lost *fault.Error
	if !errors.As(context.Cause(lock.Context()), &lost) {
		t.Fatalf("cause is %v, want a *fault.Error", context.Cause(lock.Context()))
	}
	return lost
}

// testChannel is a channel of a foreign client.
func testChannel(t *testing.T) *amqp.Channel {
	t.Helper()
	conn, err := amqp.Dial(testURL(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	channel, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return channel
}
