package locker

import (
	"context"
	"testing"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// A wait that ends before the broker has answered once says so.
func TestTextsOfWaiting(t *testing.T) {
	t.Parallel()
	late, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	cfg := Config{Ref: wire.Ref{Kind: wire.Mutex, Name: "x"}}
	want := `mutex "x" on amqp://h:5672 was not acquired in time: the broker has not answered yet`
	if got := notAcquired(late, cfg, "amqp://h:5672", nil).Error(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
