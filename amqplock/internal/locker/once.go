package locker

import (
	"context"
	"fmt"
	"time"

	"al.essio.dev/pkg/shellescape"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/history"
)

// ranAlready returns an error if a run has ended with status 0 within Config.Once.
//
// Our own grant is in the log, and read back from this node. So the node has everything
// that came before, also if its replica of the stream was behind.
func (c *contender) ranAlready(ctx context.Context) error {
	if c.cfg.Once == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.ConnectTimeout)
	defer cancel()
	log, grant := history.New(c.link.Publish(), c.cfg.Ref), c.log.grant
	upTo := grant.Read.Offset
	if c.log.follower != nil { // an earlier run may have ended while we waited for it
		upTo = c.log.follower.Offset()
	}
	run, err := log.Succeeded(ctx, upTo, grant.At.Add(-c.cfg.Once))
	if err != nil || run == nil {
		return err
	}
	c.log.end(ctx, c.link, Ending{Result: history.ResultSkipped}, false)
	c.log.forget()
	return &fault.Error{
		Kind: fault.ErrNotAcquired,
		Text: fmt.Sprintf("%s on %s was not acquired: a run of %s has succeeded at %s, %s ago",
			c.cfg.Ref, c.link.Lock.Broker, run.Writer(), run.At.Local().Format(time.DateTime),
			max(grant.At.Sub(run.At), 0).Round(time.Second)),
		Hint: fmt.Sprintf("amqprun history --mutex %s lists the runs", shellescape.Quote(c.cfg.Name)),
	}
}
