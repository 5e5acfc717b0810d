package locker

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// check is one way to ask the broker whether a lock is still held.
type check struct {
	name  string
	ask   func(ctx context.Context, slot, channel int) error
	rest  func(ctx context.Context, slot, channel int) error // for all slots but the first
	judge func(error) wire.Verdict
	each  bool  // asked for each slot held; else once for all
	also  []int // and for these
	width int   // so many slots of a large set at the same time
}

// abreast is how many slots of a large set are asked about at the same time. One after
// the other, the answers for 1,500 slots may take longer than the lease: those of quorum
// queues come from the disk. The broker writes the answers of one moment at once.
//
// Each request channel has one question at a time. Questions behind one another would
// cross with the closing of their channel, see wire.RequestChannel.Claim.
const abreast = 16

// otherChannels are more than either connection has beside two for each slot that is
// asked about. Operators are advised to allow a connection few channels (channel_max).
const otherChannels = 12

// fewSlots are asked about one after the other: by the figure above, that takes a
// fiftieth of the lease.
const fewSlots = 32

// run asks about all slots. It returns nil if all are held, a *goneError for one that is
// not, or the answer that proves nothing.
func (c check) run(ctx context.Context, slots []int) error {
	if !c.each {
		slots = slots[:min(1, len(slots))]
	}
	slots = slices.Concat(slots, c.also)
	if len(slots) <= fewSlots {
		return c.askInTurn(ctx, slots, 0, 1)
	}
	all, ctx := errgroup.WithContext(ctx)
	for channel := range c.width {
		all.Go(func() error { return c.askInTurn(ctx, slots, channel, c.width) })
	}
	return all.Wait()
}

// askInTurn asks about every width-th of the slots, from the one with the number of its
// request channel on.
func (c check) askInTurn(ctx context.Context, slots []int, channel, width int) error {
	for i := channel; i < len(slots); i += width {
		ask := c.ask
		if i > 0 && c.rest != nil {
			ask = c.rest
		}
		err := ask(ctx, slots[i], channel)
		switch c.judge(err) {
		case wire.Held:
		case wire.Lost:
			return &goneError{slot: slots[i], check: c.name, err: err}
		default:
			return err
		}
	}
	return nil
}

// explain says what was being checked when the broker did not answer well.
func explain(link *wire.Link, lock wire.Ref, c check, slots []int, err error) error {
	return wire.Refused(link.Lock.Broker,
		fmt.Sprintf("make the %s of %s", c.name, lock.Describe(slots)), err)
}

// goneError says that a slot is not ours any more, or was not even granted for good.
type goneError struct {
	slot  int
	check string
	err   error
}

func (e *goneError) Error() string {
	return fmt.Sprintf("the %s failed: %s", e.check, wire.OneLine(e.err))
}

func (e *goneError) Unwrap() error        { return e.err }
func (e *goneError) Is(target error) bool { return target == fault.ErrBusy }

// checker has what the checks of one lock connection need. Each kind has a channel of
// its own, so that one that hangs holds up no other.
type checker struct {
	lock     wire.Ref
	width    int // see check
	own      [abreast]*wire.RequestChannel
	slots    [abreast]*wire.RequestChannel
	majority *wire.RequestChannel
	preCheck atomic.Pointer[preCheck] // asks before slots and majority; nil: they ask alone
	silence  silence                  // of the publish connections
}

func newChecker(lock wire.Ref, link *wire.Link) *checker {
	width := (int(link.Lock.Config.ChannelMax) - otherChannels) / 2
	c := &checker{
		lock: lock, width: min(max(width, 1), abreast), majority: wire.NewRequestChannel(link.Lock),
	}
	for channel := range abreast { // most are never opened
		c.own[channel] = wire.NewRequestChannel(link.Lock)
		c.slots[channel] = wire.NewRequestChannel(link.Lock)
	}
	c.own[0] = link.Requests
	return c
}

// all are the checks that must keep answering well. The own queue is still the own
// connection's. And a quorum queue answers, so the node is with the majority of its
// cluster. A node that is cut off answers the first for many seconds while the other
// side grants the lock again. ours says that the slots are quorum queues. The
// original's are classic queues, which prove no majority.
//
// A publish would not do for the first: it is confirmed just as well when the queue has
// become somebody else's.
func (c *checker) all(ours bool) []check {
	list := []check{{
		name: "ownership check",
		ask: func(ctx context.Context, slot, channel int) error {
			return wire.Call(ctx, func() error { return c.own[channel].Look(c.lock.Held(slot)) })
		},
		judge: wire.Ownership,
		each:  true,
		width: c.width,
	}}
	if c.lock.Kind == wire.Semaphore {
		list = append(list, check{
			name: slotCheck,
			ask: func(ctx context.Context, slot, channel int) error {
				return c.get(ctx, c.slots[channel], wire.SlotQueue(c.lock.Name, slot))
			},
			// One quorum queue that answers the lock connection proves the majority. RabbitMQ
			// answers 541, which ends a connection, about a slot that is just being removed. Slots
			// are removed from the last on, so the first is the one that is safe to ask about.
			rest: func(ctx context.Context, slot, channel int) error {
				return c.getAhead(ctx, c.slots[channel], wire.SlotQueue(c.lock.Name, slot))
			},
			judge: wire.SlotStands,
			each:  true,
			width: c.width,
		})
	}
	if c.lock.Kind == wire.Mutex || !ours {
		list = append(list, check{
			name:  "majority check",
			ask:   func(ctx context.Context, _, _ int) error { return c.askWitness(ctx) },
			judge: wire.Majority,
		})
	}
	return list
}

const slotCheck = "slot check"

// askWitness declares the witness where it is missing: the first lock of a virtual host
// does, or one after somebody removed it.
func (c *checker) askWitness(ctx context.Context) error {
	err := c.get(ctx, c.majority, wire.Witness)
	if !wire.Absent(err) {
		return err
	}
	if err := wire.Call(ctx, func() error { return c.majority.Create(wire.Witness) }); err != nil {
		return err
	}
	return c.get(ctx, c.majority, wire.Witness)
}

// get reads from a quorum queue, which is always empty, on a channel of the lock
// connection, after the pre-check. An attempt has nothing to lose on that connection
// and makes none.
func (c *checker) get(ctx context.Context, channel *wire.RequestChannel, queue string) error {
	since := time.Time{}
	if s := c.preCheck.Load(); s != nil {
		if _, err := s.ask(ctx, channel, queue); err != nil {
			return err
		}
		since = s.opened
	}
	return wire.Call(ctx, func() error { return channel.Get(since, queue) })
}

// getAhead asks what get asks, and spares the lock connection where the publish
// connection gives an answer. The answer went through the Raft log, so the queue stands.
// It says nothing about the node of the lock connection.
func (c *checker) getAhead(ctx context.Context, channel *wire.RequestChannel, queue string) error {
	if s := c.preCheck.Load(); s != nil {
		if answered, err := s.ask(ctx, channel, queue); answered || err != nil {
			return err
		}
	}
	return c.get(ctx, channel, queue)
}

// openPreCheck makes pre-checks on the publish connection of link from now on. The
// channels of a small set are open by then: else the first question would take several
// times as long as an answer.
func (c *checker) openPreCheck(ctx context.Context, link *wire.Link) error {
	if old := c.preCheck.Load(); old != nil && old.publish == link.Publish() {
		return nil
	}
	next := c.newPreCheck(link, link.Publish())
	var opening errgroup.Group
	for _, behind := range []*wire.RequestChannel{c.majority, c.slots[0]} {
		ahead, used := next.ahead[behind]
		if !used {
			continue
		}
		for _, channel := range []*wire.RequestChannel{behind, ahead} {
			opening.Go(func() error {
				return link.Timed(ctx, "open a channel", func() error {
					return channel.OpenSince(next.opened)
				})
			})
		}
	}
	if err := opening.Wait(); err != nil {
		if ctx.Err() == nil { // else the lock ends, and perhaps with an answer under way
			link.AbortPublish()
		}
		return err
	}
	c.preCheck.Store(next)
	return nil
}

// newPreCheck makes a preCheck on publish. Where publish is nil there is no connection
// until it is open.
//
// The lease of 1.9 heartbeats has to outlast three times the patience. The first is for a
// silent publish connection, the second until the lock connection asks without it, and
// the third for that answer. A check interval and a stop time of more than 0.7 heartbeats
// together shorten the third. From about 1.0 on there is none, and a silent publish
// connection costs the lock. A shorter patience would cost it where answers are slow.
func (c *checker) newPreCheck(link *wire.Link, publish *wire.Conn) *preCheck {
	now := time.Now()
	next := &preCheck{
		publish: publish, opened: now, made: now, patience: link.Lock.Config.Heartbeat * 2 / 5,
		silence: &c.silence,
	}
	if old := c.preCheck.Load(); old != nil && !old.asked.Load() {
		next.made = old.made
	}
	if publish != nil {
		next.ahead = map[*wire.RequestChannel]*wire.RequestChannel{
			c.majority: wire.NewRequestChannel(publish),
		}
		if c.lock.Kind == wire.Semaphore {
			for _, behind := range c.slots {
				next.ahead[behind] = wire.NewRequestChannel(publish)
			}
		}
	}
	return next
}
