package locker

import (
	"strings"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// The lease is counted from the check that is behind, to the millisecond, whichever that
// is.
func TestLeaseOfTheCheckThatStalls(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		kind   wire.Kind
		method string
		check  string
	}{
		{wire.Mutex, "look", "ownership check"}, {wire.Mutex, "get", "majority check"},
		{wire.Semaphore, "look", "ownership check"}, {wire.Semaphore, "get", "slot check"},
	} {
		t.Run(string(test.kind)+" "+test.method, func(t *testing.T) {
			inBubble(t, func(t *testing.T, p *peer, cfg Config) {
				if test.kind == wire.Semaphore {
					cfg = p.semaphore(cfg, 1)
				}
				lock, clock := held5s(t, cfg)
				var proven time.Duration
				stalls := time.Now().Add(100*time.Second + 7*time.Millisecond)
				p.answer(func(r *request) bool {
					stall := r.method == test.method && time.Now().After(stalls)
					switch {
					case stall:
						r.stall()
					case r.method == test.method:
						proven = clock.Now()
					}
					return stall
				})
				<-lock.Context().Done()
				if got, want := lock.Until(), proven+2*10*time.Second-time.Second; got != want {
					t.Errorf("until %s, want %s", got, want)
				}
				if got, want := clock.Now(), lock.Until()-cfg.StopTime; got != want {
					t.Errorf("ended at %s, want %s", got, want)
				}
				if lost := waitLost(t, lock); !strings.Contains(lost.Reason, test.check) ||
					lost.Age != 14*time.Second {
					t.Errorf("%+v, want the %s", lost, test.check)
				}
				_ = lock.Release(t.Context())
			})
		})
	}
}
