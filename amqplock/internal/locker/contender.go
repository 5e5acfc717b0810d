package locker

import (
	"context"
	"fmt"
	"time"

	"al.essio.dev/pkg/shellescape"

	"github.com/amqprun/amqprun/amqplock/internal/presence"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// contender wants the lock: an attempt, the participant that shows itself meanwhile, and
// the history of what it gets.
type contender struct {
	*attempt
	who   *presence.Participant
	log   *recorder
	waits bool // while others hold the lock

	// tokenless says that this node gives no token. It may have no replica of the stream, or
	// not see its cluster. Another may be well.
	tokenless bool
	unfit     string // the same node, where it may answer so for ever

	reserved *reservedError // the newest, while there is reason to look out for others
}

// comparing bounds compareSize: the end of a short command waits for it.
const comparing = time.Second

// compareSize warns if the semaphore has another number of slots than it would have been
// created with. It asks the broker only if nobody has counted the slots.
func (c *contender) compareSize(ctx context.Context) {
	want := c.cfg.Slots
	if want == 0 || c.size == want {
		return
	}
	how := fmt.Sprintf("%d slots, not", c.size)
	if c.size == 0 {
		ctx, cancel := context.WithTimeout(ctx, comparing)
		defer cancel()
		fewer, more, err := c.link.Compare(ctx, c.cfg.Name, want)
		switch {
		case err != nil || !fewer && !more:
			return
		case fewer:
			how = "fewer slots than"
		case more:
			how = "more slots than"
		}
	}
	c.cfg.Warnf("%s has %s %d; amqprun change --semaphore %s --to %d resizes it",
		c.cfg.Ref, how, want, shellescape.Quote(c.cfg.Name), want)
}

// abandon ends a contender that did not get the lock. Where the broker does not answer it
// takes a second for that, and one more for what was collected. The caller's context has
// often ended by then.
func (c *contender) abandon() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c.log.withdraw(ctx, c.link)
	c.putBack(ctx)
	c.link.Close()
	c.who.Wait()
}

// cutOff returns an error if the lock connection has ended: another may have the lock.
func (c *contender) cutOff(doing string) error {
	if !c.link.Lock.IsClosed() {
		return nil
	}
	<-c.link.Lock.Ended
	return wire.Refused(c.link.Lock.Broker, doing+" "+c.cfg.Ref.String(),
		wire.ConnectionLost(c.link.Lock.Why))
}
