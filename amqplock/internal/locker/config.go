// Package locker takes, checks and gives back locks, and administers semaphores. An
// attempt claims a lock, a Holder has one, and the wait between the two is waitq's.
package locker

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/history"
	"github.com/amqprun/amqprun/amqplock/internal/lease"
	"github.com/amqprun/amqprun/amqplock/internal/presence"
	"github.com/amqprun/amqprun/amqplock/internal/waitq"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/internal/held"
)

// All is a Config.Count: all slots that there are at the grant.
const All = -1

// MaxPriority and its negative bound Config.Priority.
const MaxPriority = 100

// MaxRegain bounds Config.Regain, because others leave the lock alone for so long.
const MaxRegain = time.Hour

// DefaultCheckInterval is that of Config. With the default heartbeat it leaves 11 s for
// the stop (lease.TimingsWork).
const DefaultCheckInterval = 3 * time.Second

// minCheckInterval bounds what the checks cost. A holder with less would do nothing else.
const minCheckInterval = 10 * time.Millisecond

// rearmAfter is well within the half hour after which RabbitMQ closes the channel of a
// consumer that does not acknowledge.
const rearmAfter = 20 * time.Minute

// Config describes a lock to take. The options of amqplock document the fields.
type Config struct {
	wire.Broker
	wire.Ref

	Slots    int   // to create, where there is no semaphore
	Count    int   // or All
	Prefer   []int // slots, where they are free
	Greedy   bool
	Elastic  bool
	OnChange func(slots []int)
	Priority int // among waiters

	CheckInterval time.Duration
	StopTime      time.Duration

	History bool
	Fence   bool          // and history
	Once    time.Duration // and fence; 0: as often as wanted
	Regain  time.Duration // and fence; 0: a lost lock is not taken again

	OnWaiting func(waitq.Waiting)
	About     func() presence.About

	clock lease.Clock // nil means that of the kernel
	// runID is for a run whose About says none.
	runID string
	// retry is before a waiter's first try without a hint. 0 means waitq.FirstRetry.
	retry time.Duration
	// look is between two looks of the second waiter. 0 means waitq.LookEvery.
	look time.Duration
	// rearm is after how long the last will is published anew. 0 means rearmAfter.
	rearm time.Duration
	// sign is how long a rival may take for a sign of life. 0 means history.SignTime.
	sign time.Duration
}

// WithClock is c with another clock than that of the kernel, for simulations.
func (c Config) WithClock(clock lease.Clock) Config {
	c.clock = clock
	return c
}

// Check returns an error of kind ErrConfig for what cannot work. It contacts nothing.
func (c Config) Check() error {
	_, err := c.withDefaults()
	return err
}

// withDefaults fills in the zero values and refuses what cannot work.
func (c Config) withDefaults() (Config, error) {
	var err error
	if c.Broker, err = c.Resolve(); err != nil {
		return c, err
	}
	if err := c.Ref.Check(); err != nil {
		return c, err
	}
	if c.Slots < 0 || c.Slots > wire.MaxSlots {
		return c, fault.Config("%d slots: must be from 1 to %d", c.Slots, wire.MaxSlots)
	}
	if err := c.checkSet(); err != nil {
		return c, err
	}
	if c.CheckInterval < 0 || c.StopTime < 0 {
		return c, fault.Config("check interval and stop time cannot be negative")
	}
	if c.CheckInterval != 0 && c.CheckInterval < minCheckInterval {
		return c, fault.Config("a check interval of %s: must be at least %s", c.CheckInterval,
			minCheckInterval)
	}
	setDefault(&c.Count, 1)
	c.Fence = c.Fence || c.Once > 0 || c.Regain > 0
	c.History = c.History || c.Fence
	setDefault(&c.CheckInterval, DefaultCheckInterval)
	setDefault(&c.retry, waitq.FirstRetry)
	setDefault(&c.look, waitq.LookEvery)
	setDefault(&c.rearm, rearmAfter)
	setDefault(&c.sign, history.SignTime)
	setDefault(&c.runID, rand.Text())
	if c.clock == nil {
		c.clock = lease.BootClock{}
	}
	if !lease.TimingsWork(c.Heartbeat, c.CheckInterval, c.StopTime) {
		return c, c.timingError(fault.ErrConfig, c.Heartbeat,
			fmt.Sprintf("a heartbeat of %s", c.Heartbeat))
	}
	return c, nil
}

// checkSet looks at what has to do with several slots.
func (c Config) checkSet() error {
	switch {
	case c.Count < 0 && c.Count != All || c.Count > wire.MaxSlots:
		return fault.Config("a count of %d slots: must be from 1 to %d", c.Count, wire.MaxSlots)
	case c.Kind == wire.Mutex &&
		(c.Slots > 0 || c.Count > 1 || c.Count == All || c.Greedy || c.Elastic):
		return fault.Config("a mutex has one slot: slots, count, greedy and elastic are for semaphores")
	case c.Greedy && c.Count != 0:
		return fault.Config("count and greedy exclude each other")
	case c.Priority < -MaxPriority || c.Priority > MaxPriority:
		return fault.Config("a priority of %d: must be from -%d to %d",
			c.Priority, MaxPriority, MaxPriority)
	case c.Elastic && !c.Greedy:
		return fault.Config("elastic needs greedy")
	case c.Once < 0:
		return fault.Config("once in a time: it must be more than 0")
	case c.Once > 0 && c.Kind != wire.Mutex:
		return fault.Config("once in %s: only a mutex can be held once in a time", c.Once)
	case c.Regain < 0 || c.Regain > MaxRegain:
		return fault.Config("regain within a time: it must be more than 0, and at most %s", MaxRegain)
	case c.Regain > 0 && (c.Count > 1 || c.Count == All || c.Greedy):
		return fault.Config("only a mutex or one slot can be regained")
	case c.Elastic && c.Fence:
		return fault.Config("fence and elastic exclude each other: a token is that of a grant, " +
			"and an elastic set has many")
	}
	return nil
}

func setDefault[T comparable](value *T, def T) {
	if none := *new(T); *value == none {
		*value = def
	}
}

// timingError explains that a check and a stop do not fit into the lease that heartbeat
// gives. The hint has times that fit.
func (c Config) timingError(kind error, heartbeat time.Duration, whose string) error {
	room := lease.Room(heartbeat)
	e := &fault.Error{Kind: kind, Text: fmt.Sprintf("a check interval of %s and %s to stop the "+
		"command are longer than the %s that %s leaves for both",
		c.CheckInterval, c.StopTime, room, whose)}
	var ways []string
	stop, check := room-c.CheckInterval, room-c.StopTime
	switch {
	case stop > 0 && (c.Regain == 0 || stop >= held.PauseTime):
		ways = append(ways, fmt.Sprintf("--kill-after %s", stop))
	case c.Regain > 0 && check >= minCheckInterval:
		ways = append(ways, fmt.Sprintf("--check-interval %s", check))
	}
	longer := lease.HeartbeatFor(c.CheckInterval, c.StopTime)
	switch {
	case longer > wire.MaxHeartbeat && ways == nil:
		ways = append(ways, "a shorter --check-interval")
	case longer > wire.MaxHeartbeat:
	case errors.Is(kind, fault.ErrConfig):
		ways = append(ways, fmt.Sprintf("--heartbeat %s", longer))
	default: // the broker grants no longer one
		ways = append(ways, fmt.Sprintf("heartbeat = %d in the broker's rabbitmq.conf",
			longer/time.Second))
	}
	e.Hint = "what fits: " + strings.Join(ways, ", or ")
	return e
}
