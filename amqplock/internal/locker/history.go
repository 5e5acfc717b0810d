package locker

import (
	"context"
	"slices"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/history"
	"github.com/amqprun/amqprun/amqplock/internal/presence"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// Run is one run in the history of a lock.
type Run struct {
	history.Run
	Running bool // it has no end, and holds the lock now
}

// History reads the last n runs. amqplock.Client.History documents it.
func History(ctx context.Context, b wire.Broker, lock wire.Ref, n int) ([]Run, error) {
	return inspect(ctx, b, lock, func(link *wire.Link) ([]Run, error) {
		if err := link.OpenPublish(ctx); err != nil {
			return nil, err
		}
		bounded, cancel := context.WithTimeout(ctx, b.ConnectTimeout)
		defer cancel()
		runs, err := history.New(link.Publish(), lock).Runs(bounded, n)
		if err != nil {
			return nil, err
		}
		return running(ctx, link, lock, runs), nil
	})
}

// Follow reads the last n runs and then what is added. amqplock.Client.FollowHistory
// documents it.
func Follow(ctx context.Context, b wire.Broker, lock wire.Ref, n int, f func(Run)) error {
	_, err := inspect(ctx, b, lock, func(link *wire.Link) (struct{}, error) {
		if err := link.OpenPublish(ctx); err != nil {
			return struct{}{}, err
		}
		began := func(runs []history.Run) {
			for _, run := range running(ctx, link, lock, runs) {
				f(run)
			}
		}
		log := history.New(link.Publish(), lock)
		added := func(run history.Run) { f(Run{run, run.End == nil}) }
		return struct{}{}, log.Follow(ctx, n, began, added)
	})
	return err
}

// young is how old a holder may be that does not answer yet.
const young = time.Second

// running finds out which of the runs without an end hold the lock now. That the holders
// cannot be asked is logged and no error.
func running(ctx context.Context, link *wire.Link, lock wire.Ref, runs []history.Run) []Run {
	list := make([]Run, len(runs))
	open := 0
	for i, run := range runs {
		list[i] = Run{Run: run, Running: run.End == nil && time.Since(run.Began()) < young}
		if run.End == nil && !list[i].Running {
			open++
		}
	}
	if open == 0 {
		return list
	}
	said, err := presence.Ask(ctx, link, presence.Key(lock), open)
	if err != nil {
		link.Broker.Debugf("the holders are not known: %v", err)
	}
	for i, run := range list {
		holds := func(a presence.Answer) bool { return len(a.Slots) > 0 && a.About.ID == run.Grant.ID }
		list[i].Running = run.Running || run.End == nil && slices.ContainsFunc(said, holds)
	}
	return list
}
