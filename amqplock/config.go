package amqplock

import (
	"context"
	"fmt"
	"net"
	"time"
)

// Kind tells a mutex from a semaphore.
type Kind string

// The two kinds of lock.
const (
	Mutex     Kind = "mutex"
	Semaphore Kind = "semaphore"
)

// Defaults of Broker and Config. Heartbeat is within the 5 to 20 seconds that RabbitMQ's documentation recommends.
const (
	DefaultURL            = "amqp://guest:guest@localhost:5672/"
	DefaultHeartbeat      = 10 * time.Second
	DefaultConnectTimeout = 10 * time.Second
	DefaultCheckInterval  = 3 * time.Second
)

// Broker says how to reach the broker, or a cluster of them. The zero value means DefaultURL and the other defaults.
type Broker struct {
	// URLs of the nodes of one cluster, amqp:// or amqps://, credentials included; never shown. They are tried in order, each for
	// ConnectTimeout, and two connections of one lock may end at different nodes. None means DefaultURL.
	URLs      []string
	Password  string // for URLs with a user and no password; refused where there is none
	CACert    string // PEM file that signs the broker's certificate; empty: the system's
	Cert, Key string // PEM files of the client's certificate; both or none. It is also the login where a URL names no user
	// Heartbeat, in whole seconds, at least 2, is that of the connection that holds the lock, and of every one with a place in the line; the second
	// connection of a holder may have a slower one. 0 means DefaultHeartbeat.
	Heartbeat time.Duration
	// ConnectTimeout bounds connecting to each broker, how long waiters try again when none can be reached, and every call to the
	// broker; 0 means DefaultConnectTimeout.
	ConnectTimeout time.Duration

	ConnectionName string // for those who look at the broker's connections; empty: none
	Version        string // of the program, for the same; empty: that of the client library

	// Dial replaces net.Dialer.DialContext; nil means that.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	nodes *nodes
}

// Config describes a lock to take.
type Config struct {
	Broker
	Kind  Kind
	Name  string
	Slots int // semaphore: create it with so many slots if it does not exist; 0: do not create

	Count  int  // semaphore: how many slots to take, all or none; 0 means 1
	Greedy bool // semaphore: take all slots that are free, at least one
	// Elastic, with Greedy, goes on taking slots that come free, and lets go of slots that are removed; the lock is lost with the last. Config.OnChange,
	// which must not block, is told the slots held, ascending, after each change; its calls do not overlap, and the last has the newest.
	Elastic  bool
	OnChange func(slots []int)

	CheckInterval time.Duration // between two checks that the lock is held; 0 means DefaultCheckInterval
	// StopTime is what the holder needs to stop its work: on a loss by silence Lock.Context ends that long before Lock.Until.
	StopTime time.Duration

	// Logf, if not nil, is told each step. Calls do not overlap with one another but come from several goroutines.
	Logf func(format string, args ...any)
	// Warnf, if not nil, is told what everyone should know: that the wait is not for other holders.
	Warnf func(format string, args ...any)
	// OnWaiting, if not nil, is told that Acquire waits, and then each change of what it knows about that. It must not block.
	OnWaiting func(Waiting)
	// About, if not nil, is what to tell those who ask who holds the lock and who waits; without it neither is told, and the holder cannot be
	// evicted. It is called by another goroutine, once at most for each connection, and only for runs of a fifth of a second or more.
	About func() About
	// OnRenew, if not nil, is told the lease, as Lock.StopAt and Lock.Until, at the grant and each time it has grown by a hundredth of the
	// heartbeat. It must not block.
	OnRenew func(stopAt, until time.Duration)

	clock clock         // nil means CLOCK_BOOTTIME
	retry time.Duration // before a waiter's first try without a hint; 0 means firstRetry
	rearm time.Duration // after which the tripwire is armed anew; 0 means rearmAfter
}

// minHeartbeat is the least that amqp091-go handles: it sends every T/2, in a ticker that tolerates a second.
const minHeartbeat = 2 * time.Second

// withDefaults fills in the zero values and refuses what cannot work, before anything is contacted.
func (b Broker) withDefaults() (Broker, error) {
	setDefault(&b.Heartbeat, DefaultHeartbeat)
	setDefault(&b.ConnectTimeout, DefaultConnectTimeout)
	if b.Heartbeat < minHeartbeat || b.Heartbeat%time.Second != 0 || b.Heartbeat > 65535*time.Second {
		return b, &Error{
			Kind: ErrConfig,
			Text: fmt.Sprintf("heartbeat %s: must be whole seconds, from %s to 65535s", b.Heartbeat, minHeartbeat),
		}
	}
	if b.ConnectTimeout < 0 {
		return b, &Error{Kind: ErrConfig, Text: fmt.Sprintf("connect timeout %s: is negative", b.ConnectTimeout)}
	}
	if b.Dial == nil {
		b.Dial = (&net.Dialer{}).DialContext
	}
	var err error
	b.nodes, err = b.resolve()
	return b, err
}

// Validate reports what Acquire would find wrong with the configuration, without contacting anything: an *Error of kind ErrConfig.
func (c Config) Validate() error {
	_, err := c.validated()
	return err
}

// validated is withDefaults for one who wants the lock, whose lease must have room for a check and a stop.
func (c Config) validated() (Config, error) {
	c, err := c.withDefaults()
	if err == nil && !timingsWork(c.Heartbeat, c.CheckInterval, c.StopTime) {
		err = c.timingError(ErrConfig, c.Heartbeat, fmt.Sprintf("with a heartbeat of %s", c.Heartbeat))
	}
	return c, err
}

func (c Config) withDefaults() (Config, error) {
	if c.Kind != Mutex && c.Kind != Semaphore {
		return c, &Error{Kind: ErrConfig, Text: fmt.Sprintf("kind of lock %q: neither mutex nor semaphore", c.Kind)}
	}
	if err := CheckName(c.Name); err != nil {
		return c, err
	}
	if c.Slots < 0 || c.Slots > MaxSlots {
		return c, &Error{Kind: ErrConfig, Text: fmt.Sprintf("%d slots: must be from 1 to %d", c.Slots, MaxSlots)}
	}
	if err := c.checkSet(); err != nil {
		return c, err
	}
	c.Count = max(c.Count, 1)
	setDefault(&c.CheckInterval, DefaultCheckInterval)
	if c.Logf == nil {
		c.Logf = func(string, ...any) {}
	}
	setDefault(&c.retry, firstRetry)
	setDefault(&c.rearm, rearmAfter)
	if c.clock == nil {
		c.clock = bootClock{}
	}
	b, err := c.Broker.withDefaults()
	if err != nil {
		return c, err
	}
	c.Broker = b
	if c.CheckInterval < 0 || c.StopTime < 0 {
		return c, &Error{Kind: ErrConfig, Text: "check interval and stop time cannot be negative"}
	}
	return c, nil
}

// checkSet looks at what has to do with several slots.
func (c Config) checkSet() error {
	bad := func(text string) error { return &Error{Kind: ErrConfig, Text: text} }
	switch {
	case c.Count < 0 || c.Count > MaxSlots:
		return bad(fmt.Sprintf("a count of %d slots: must be from 1 to %d", c.Count, MaxSlots))
	case c.Kind == Mutex && (c.Count > 1 || c.Greedy || c.Elastic):
		return bad("a mutex has one slot: no count, greedy or elastic")
	case c.Greedy && c.Count > 0:
		return bad("count and greedy exclude each other")
	case c.Elastic && !c.Greedy:
		return bad("elastic needs greedy")
	}
	return nil
}

func setDefault(d *time.Duration, def time.Duration) {
	if *d == 0 {
		*d = def
	}
}

// timingError explains that a check and a stop do not fit into the lease that heartbeat gives.
func (c Config) timingError(kind error, heartbeat time.Duration, with string) error {
	room := heartbeat * 14 / 10
	return &Error{
		Kind: kind,
		Text: fmt.Sprintf("the check interval of %s and the %s to stop the command do not fit %s: together at most %s",
			c.CheckInterval, c.StopTime, with, room),
		Hint: "lower the kill-after time or the check interval, or raise the heartbeat",
	}
}
