package locker

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// An end that others rely on is tried again, and not beyond the context of the caller.
func TestAnEndIsNotTriedForACallerThatHasGivenUp(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	dials := 0
	cfg, err := Config{
		Broker: wire.Broker{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			if dials++; dials == 3 {
				cancel()
			}
			return nil, net.ErrClosed
		}},
		Ref: wire.Ref{Kind: wire.Mutex, Name: "x"}, Once: time.Hour,
	}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{cfg: cfg, written: true}
	r.end(ctx, &wire.Link{Pair: wire.Pair{Broker: cfg.Broker}}, Ending{}, false)
	if dials != 3 {
		t.Errorf("it was tried %d times", dials)
	}
}
