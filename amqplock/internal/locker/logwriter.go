package locker

import (
	"context"
	"errors"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/history"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// recordTime bounds each record that is not needed for the lock to be right. It may have
// to log in first, which can take some seconds on a busy machine.
const recordTime = 3 * time.Second

// retryPause is between two tries to write a record, after the connection has ended, or
// after a refusal that may pass.
const retryPause = 100 * time.Millisecond

// logWriter writes records into the history, over the newest publish connection.
type logWriter struct {
	cfg    Config
	log    *history.Log // nil until the publish connection is there
	failed bool         // it has warned
}

// append tries again within recordTime when the connection has ended under it. Then the
// record may be in the log twice.
func (w *logWriter) append(ctx context.Context, link *wire.Link, record history.Record) error {
	ctx, cancel := context.WithTimeout(ctx, recordTime)
	defer cancel()
	for {
		if err := w.reach(ctx, link); err != nil {
			return err
		}
		err := w.log.Append(ctx, record)
		if err == nil || !mayReopen(err, link.Publish()) || wire.Pause(ctx, retryPause) != nil {
			return err
		}
	}
}

// mayReopen reports whether err may be gone over a new connection: it has ended this one.
// A broker that has no streams ends it too.
func mayReopen(err error, c *wire.Conn) bool {
	return c.IsClosed() && !errors.Is(err, fault.ErrNotALock)
}

// reach opens the publish connection unless it is open.
func (w *logWriter) reach(ctx context.Context, link *wire.Link) error {
	if err := link.OpenPublish(ctx); err != nil {
		return err
	}
	if w.log == nil || w.log.Conn() != link.Publish() {
		w.log = history.New(link.Publish(), w.cfg.Ref)
	}
	return nil
}

// report warns once that the history has a gap.
func (w *logWriter) report(err error) {
	if err != nil && !w.failed {
		w.failed = true
		w.cfg.Warnf("the history of %s is not complete: %v", w.cfg.Ref, err)
	}
}
