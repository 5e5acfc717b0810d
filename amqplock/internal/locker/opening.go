package locker

import (
	"context"

	"github.com/amqprun/amqprun/amqplock/internal/history"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// opening is a log that is being opened.
type opening struct {
	conn   *wire.Conn // to look for a slot may replace it by another
	done   chan struct{}
	cancel context.CancelFunc
	tail   *history.Tail
	err    error
}

// open opens the log, and notes what the grant will say, in the background. close has to
// be called.
func (r *recorder) open(ctx context.Context, publish *wire.Conn) *opening {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.ConnectTimeout)
	o := &opening{conn: publish, done: make(chan struct{}), cancel: cancel}
	go func() {
		defer close(o.done)
		r.begin()
		o.tail, o.err = history.New(publish, r.cfg.Ref).Open(ctx)
	}()
	return o
}

func (o *opening) close() {
	o.cancel()
	<-o.done
	if o.tail != nil {
		o.tail.Close()
	}
}
