package broker

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// view is what one side of a cluster believes: queues and bindings.
type view struct {
	queues    map[string]*queue
	exchanges map[string]string // their types
	bindings  map[string][]binding
	dying     map[string]time.Time // quorum queues that were just deleted, and until when
}

func newView() *view {
	return &view{
		queues:    map[string]*queue{},
		exchanges: map[string]string{"amq.direct": "direct"},
		bindings:  map[string][]binding{},
		dying:     map[string]time.Time{},
	}
}

// find returns nil where there is no such queue, or it has expired.
func (v *view) find(name string) *queue {
	q := v.queues[name]
	if q != nil && q.expires > 0 && len(q.consumers) == 0 && time.Since(q.used) >= q.expires {
		q.remove(Expired)
		return nil
	}
	return q
}

// kind is the type of a queue.
type kind string

const (
	classic kind = "classic"
	quorum  kind = "quorum"
	stream  kind = "stream"
)

// queue is one queue in one view.
type queue struct {
	view       *view
	b          *Broker
	name       string
	kind       kind
	durable    bool
	autoDelete bool
	owner      *conn // nil unless it is exclusive
	args       table

	maxLength   int           // -1: any
	ttl         time.Duration // -1: for ever
	expires     time.Duration // 0: never
	deadLetter  bool          // to the default exchange
	deadKey     string
	singleActor bool

	used      time.Time
	made      time.Time
	removed   bool
	ready     []*message
	consumers []*consumer // the highest priority first, then in the order in which they came
	active    *consumer   // the single active one
	log       *log        // of a stream
}

func newQueue(v *view, b *Broker, d declaration) *queue {
	number := func(name string) int64 {
		if n, ok := integer(d.args[name]); ok {
			return n
		}
		return -1
	}
	millis := func(name string) time.Duration {
		if n := number(name); n >= 0 {
			return time.Duration(n) * time.Millisecond
		}
		return -1
	}
	q := &queue{
		view: v, b: b, name: d.name, kind: classic, durable: d.durable, autoDelete: d.autoDelete,
		args:      d.args,
		maxLength: int(number("x-max-length")), ttl: millis("x-message-ttl"),
		expires: max(millis("x-expires"), 0), made: time.Now(), used: time.Now(),
	}
	if name, ok := d.args["x-queue-type"].(string); ok {
		q.kind = kind(name)
	}
	if q.kind == stream {
		q.log = newLog()
	}
	_, q.deadLetter = d.args["x-dead-letter-exchange"].(string)
	q.deadKey, _ = d.args["x-dead-letter-routing-key"].(string)
	q.singleActor, _ = d.args["x-single-active-consumer"].(bool)
	return q
}

func (q *queue) touch() { q.used = time.Now() }

// isDying reports whether a quorum queue has just been deleted, and not yet everywhere.
func (v *view) isDying(name string) bool {
	until, ok := v.dying[name]
	return ok && v.queues[name] == nil && time.Now().Before(until)
}

// down reports whether the processes of a quorum queue are still being started.
func (q *queue) down() bool { return time.Since(q.made) < q.b.quorumDelay }

// differs says why a declare that finds the queue is refused; "" where it is not.
func (q *queue) differs(d declaration, c *conn) (why string, code uint16) {
	if q.owner != nil && q.owner != c || d.exclusive != (q.owner != nil) {
		return locked(q.name), codeResourceLocked
	}
	inequivalent := func(arg string, got, is any) (string, uint16) {
		return fmt.Sprintf("PRECONDITION_FAILED - inequivalent arg '%s' for queue '%s' in vhost '/': "+
			"received %v but current is %v", arg, q.name, got, is), codePreconditionFailed
	}
	if d.durable != q.durable {
		return inequivalent("durable", quoted(d.durable), quoted(q.durable))
	}
	for _, arg := range []string{
		"x-expires", "x-message-ttl", "x-dead-letter-exchange", "x-dead-letter-routing-key",
		"x-max-length", "x-max-length-bytes", "x-single-active-consumer", "x-queue-type",
		"x-stream-max-segment-size-bytes",
	} {
		got, is := d.args[arg], q.args[arg]
		if arg == "x-queue-type" && q.b.options.Release != V310 {
			got, is = cmp.Or(got, any("classic")), cmp.Or(is, any("classic"))
		}
		gotNumber, isNumber := integer(got)
		wasNumber, wasOne := integer(is)
		switch {
		case got == is, isNumber && wasOne && gotNumber == wasNumber:
		case got == nil, is == nil:
			return inequivalent(arg, valued(got), valued(is))
		default:
			return inequivalent(arg, quoted(got), quoted(is))
		}
	}
	return "", 0
}

func quoted(v any) string { return fmt.Sprintf("'%v'", v) }

// valued is how RabbitMQ shows an argument that the other side does not have.
func valued(v any) string {
	switch v := v.(type) {
	case nil:
		return "none"
	case int32:
		return fmt.Sprintf("the value '%d' of type 'signedint'", v)
	case int64:
		return fmt.Sprintf("the value '%d' of type 'long'", v)
	case bool:
		return fmt.Sprintf("the value '%t' of type 'bool'", v)
	default:
		return fmt.Sprintf("the value '%v' of type 'longstr'", v)
	}
}

// Reason is why a queue is gone.
type Reason string

// The reasons.
const (
	Deleted         Reason = "deleted"               // by a client that may
	EndOfConnection Reason = "end of its connection" // the owner's
	Expired         Reason = "expired"
	Vanished        Reason = "vanished"  // the broker has lost it, without a word
	ByName          Reason = "by name"   // another's claim that died has deleted it
	SplitOff        Reason = "split off" // its owner is on the other side of a split
)

// remove deletes the queue. Its consumers hear of it.
func (q *queue) remove(why Reason) {
	if q.removed {
		return
	}
	q.removed = true
	if q.view.queues[q.name] == q {
		delete(q.view.queues, q.name)
	}
	if q.kind == quorum && q.b.quorumDelay > 0 {
		q.view.dying[q.name] = time.Now().Add(q.b.quorumDelay)
	}
	for name, all := range q.view.bindings {
		q.view.bindings[name] = slices.DeleteFunc(all, func(b binding) bool { return b.queue == q })
	}
	if owner := q.owner; owner != nil {
		owner.locks = slices.DeleteFunc(owner.locks, func(other *queue) bool { return other == q })
		q.b.options.Observe(Event{
			Kind: Freed, At: time.Now(), Queue: q.name, Socket: owner.socket, Why: why,
			How: owner.why,
		})
	}
	consumers := q.consumers
	q.consumers, q.active, q.ready = nil, nil, nil
	for _, m := range consumers {
		m.orphan()
	}
}
