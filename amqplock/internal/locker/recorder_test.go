package locker

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/history"
	"github.com/amqprun/amqprun/amqplock/internal/presence"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// The connections of a holder end when it writes the end of its run.
func TestAnEndIsWrittenOverANewConnection(t *testing.T) {
	t.Parallel()
	for name, with := range map[string]func(*Config){
		"history": func(cfg *Config) { cfg.History = true },
		"fence":   func(cfg *Config) { cfg.Fence = true },
		"regain":  func(cfg *Config) { cfg.Regain = time.Minute },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := regainable(t, wire.Mutex)
			cfg.Regain = 0
			with(&cfg)
			var lock *Holder
			var ends atomic.Bool // the work
			cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
				return publisher{conn, func() {
					if ends.Swap(false) {
						_ = lock.link.Lock.Socket.Close()
						_ = conn.Close()
					}
				}}, err
			}
			lock = mustAcquire(t, cfg)
			lock.stop()
			lock.finish(t.Context()) // nothing else publishes
			ends.Store(true)
			if err := lock.Release(t.Context()); err != nil {
				t.Errorf("Release: %v", err)
			}
			if runs := runsOf(t, cfg); len(runs) != 1 || runs[0].End == nil ||
				runs[0].End.Result != "released" || ends.Load() {
				t.Errorf("%+v", runs)
			}
		})
	}
}

// publisher calls then before it sends a message.
type publisher struct {
	net.Conn
	then func()
}

func (p publisher) Write(b []byte) (int, error) {
	if len(b) > 11 && b[0] == 1 && b[8] == 60 && b[10] == 40 { // a method frame, basic.publish
		p.then()
	}
	return p.Conn.Write(b)
}

// How often an end is tried while the broker is away, and not beyond the context of the
// caller.
func TestAnEndIsNotTriedForACallerThatHasGivenUp(t *testing.T) {
	t.Parallel()
	const once, lost = time.Hour, true
	for name, c := range map[string]struct {
		once  time.Duration
		lost  bool
		tries int
	}{
		"history":       {0, !lost, 3},
		"once":          {once, !lost, 3},
		"lost":          {0, lost, 1},
		"once and lost": {once, lost, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			dials := 0
			cfg, err := Config{
				Broker: wire.Broker{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
					if dials++; dials == 3 {
						cancel()
					}
					return nil, net.ErrClosed
				}},
				Ref: wire.Ref{Kind: wire.Mutex, Name: "x"}, History: true, Once: c.once,
			}.withDefaults()
			if err != nil {
				t.Fatal(err)
			}
			r := &recorder{logWriter: logWriter{cfg: cfg}, written: true}
			r.end(ctx, &wire.Link{Pair: wire.Pair{Broker: cfg.Broker}}, Ending{}, c.lost)
			if dials != c.tries {
				t.Errorf("it was tried %d times, want %d", dials, c.tries)
			}
		})
	}
}

func TestAboutIsAskedOnceForEachConnection(t *testing.T) {
	t.Parallel()
	cfg := fencedConfig(t, wire.Mutex)
	var asked atomic.Int32
	cfg.About = func() presence.About {
		asked.Add(1)
		return presence.About{ID: "asked"}
	}
	lock := mustAcquire(t, cfg)
	waitFor(t, "a holder that answers", func() bool {
		said, _ := Said(t.Context(), lock.cfg.Broker, cfg.Ref)
		return len(said) > 0
	})
	if n := asked.Load(); n != 1 {
		t.Errorf("it was asked %d times", n)
	}
}

// A grant of an earlier try may be in the log. It must not be another run's.
func TestARunKeepsAnIDThatWasMadeUp(t *testing.T) {
	t.Parallel()
	cfg, err := Config{Ref: wire.Ref{Kind: wire.Mutex, Name: "x"}, Fence: true}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	first := &recorder{logWriter: logWriter{cfg: cfg}}
	second := &recorder{logWriter: logWriter{cfg: cfg}}
	first.begin()
	second.begin()
	if id := first.grant.ID; id == "" || id != second.grant.ID {
		t.Errorf("%q, then %q", id, second.grant.ID)
	}
}

// The log may be opened again behind a grant that is on its way into it.
func TestAnEndIsNotBeforeItsGrant(t *testing.T) {
	t.Parallel()
	cfg, err := Config{Ref: wire.Ref{Kind: wire.Semaphore, Name: "x"}, Fence: true}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{logWriter: logWriter{cfg: cfg}}
	r.begin()
	r.holds([]int{1})
	granted := r.grant.At
	r.begin()
	if end := r.endOf(Ending{Result: history.ResultWithdrawn}, false); end.At.Before(granted) {
		t.Errorf("granted at %s, and ended at %s", granted, end.At)
	}
}
