package broker

import (
	"slices"
	"strconv"
	"time"
)

// queue is one queue in one view.
type queue struct {
	declaration
	engine *engine
	view   *view
	owner  *owner // nil unless it is exclusive

	maxLength   int           // -1: any
	ttl         time.Duration // -1: for ever
	expires     time.Duration // 0: never
	deadLetter  bool          // to the default exchange
	deadKey     string
	singleActor bool

	used      time.Time
	made      time.Time
	removed   bool
	homeless  bool // its node is down
	ready     []*message
	consumers []*consumer // the highest priority first, then in the order in which they came
	active    *consumer   // the single active one
	log       *log        // of a stream
}

// view is what one side of a cluster believes: queues and bindings.
type view struct {
	queues    map[string]*queue
	exchanges map[string]string // their types
	bindings  map[string][]binding
	dying     map[string]time.Time // quorum queues that were just deleted, and until when
	cutOff    bool                 // by a split
}

// binding leads the messages of an exchange with a key to a queue.
type binding struct {
	key   string
	queue *queue
}

// node is one of the cluster.
type node struct {
	view    *view
	stalled bool       // no majority answers: what needs one waits
	readers *exception // what those get who read a stream; nil: the stream
}

// owner is a client at its node, with its exclusive queues in the order in which it has
// declared them.
type owner struct {
	*client
	node  *node
	locks []*queue
}

// consumer takes the messages of one queue to a channel.
type consumer struct {
	c        *owner
	queue    *queue
	tag      string
	noAck    bool
	alone    bool // exclusive
	priority int64
	prefetch int
	open     int // how many are not acknowledged
	gone     bool
	next     int64 // of a stream

	deliver func(*message)
	orphan  func() // the queue is gone
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

// isDying reports whether a quorum queue has just been deleted, and not yet everywhere.
func (v *view) isDying(name string) bool {
	until, ok := v.dying[name]
	return ok && v.queues[name] == nil && time.Now().Before(until)
}

// route is where a message leads, and whether its exchange is known.
func (v *view) route(m *message) (targets []*queue, known bool) {
	if m.exchange == "" {
		if q := v.find(m.key); q != nil {
			targets = append(targets, q)
		}
		return targets, true
	}
	_, known = v.exchanges[m.exchange]
	for _, b := range v.bindings[m.exchange] {
		if b.key == m.key {
			targets = append(targets, b.queue)
		}
	}
	return targets, known
}

func newQueue(e *engine, v *view, d declaration) *queue {
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
		declaration: d, engine: e, view: v,
		maxLength: int(number("x-max-length")), ttl: millis("x-message-ttl"),
		expires: max(millis("x-expires"), 0), made: time.Now(), used: time.Now(),
	}
	if q.kind() == stream {
		q.log = &log{}
	}
	_, q.deadLetter = d.args["x-dead-letter-exchange"].(string)
	q.deadKey, _ = d.args["x-dead-letter-routing-key"].(string)
	q.singleActor, _ = d.args["x-single-active-consumer"].(bool)
	return q
}

func (q *queue) touch() { q.used = time.Now() }

// down reports whether the processes of a quorum queue are still being started.
func (q *queue) down() bool { return time.Since(q.made) < q.engine.quorumDelay }

// lockedTo refuses all but the owner of an exclusive queue.
func (q *queue) lockedTo(c *owner) *exception {
	if q.owner == nil || q.owner == c {
		return nil
	}
	return locked(q.name)
}

// remove deletes the queue. Its consumers hear of it.
func (q *queue) remove(why Reason) {
	if q.removed {
		return
	}
	q.removed = true
	if q.view.queues[q.name] == q {
		delete(q.view.queues, q.name)
	}
	if q.kind() == quorum && q.engine.quorumDelay > 0 {
		q.view.dying[q.name] = time.Now().Add(q.engine.quorumDelay)
	}
	for name, all := range q.view.bindings {
		q.view.bindings[name] = slices.DeleteFunc(all, func(b binding) bool { return b.queue == q })
	}
	if owner := q.owner; owner != nil {
		owner.locks = slices.DeleteFunc(owner.locks, func(other *queue) bool { return other == q })
		q.engine.observe(Event{
			Kind: Freed, Queue: q.name, Socket: owner.socket, Why: why, How: owner.why,
		})
	}
	consumers := q.consumers
	q.consumers, q.active, q.ready = nil, nil, nil
	for _, m := range consumers {
		m.gone = true
		m.orphan()
	}
}

// join puts a consumer behind those of the same priority.
func (q *queue) join(m *consumer) {
	at := len(q.consumers)
	for at > 0 && q.consumers[at-1].priority < m.priority {
		at--
	}
	q.consumers = slices.Insert(q.consumers, at, m)
	if q.singleActor && q.active == nil {
		q.active = m
	}
	q.touch()
	m.c.observe(Joined, q.name)
}

// leave is for consumers that are cancelled, or whose channels have ended. All are gone
// before the queue goes on, or a message for the one would go to another that is gone.
func (q *queue) leave(out ...*consumer) {
	if q.removed || len(out) == 0 {
		return
	}
	isOut := func(m *consumer) bool { return slices.Contains(out, m) }
	q.consumers = slices.DeleteFunc(q.consumers, isOut)
	q.touch()
	for _, m := range out {
		m.c.observe(Left, q.name)
	}
	if isOut(q.active) {
		if q.active = nil; len(q.consumers) > 0 {
			q.active = q.consumers[0]
		}
	}
	if q.autoDelete && !q.homeless && len(q.consumers) == 0 {
		q.remove(Deleted)
		return
	}
	q.deliver()
}

// add puts a message into the queue.
func (q *queue) add(m *message) {
	if q.log != nil {
		q.log.append(m)
		q.deliver()
		return
	}
	q.ready = append(q.ready, m)
	q.deliver()
	q.expire(m)
	q.shorten()
}

// putBack puts a message that was delivered at the front. It reports whether the queue is
// still there.
func (q *queue) putBack(m *message) bool {
	if q.removed || q.log != nil {
		return false
	}
	m.redelivered = true
	q.ready = slices.Insert(q.ready, 0, m)
	if q.ttl == 0 {
		q.expire(m)
	}
	q.shorten()
	return true
}

// shorten drops the oldest of too many.
func (q *queue) shorten() {
	for q.maxLength >= 0 && len(q.ready) > q.maxLength {
		q.bury(q.take(), "maxlen")
	}
}

// expire ends the life of a message that is not delivered in time.
func (q *queue) expire(m *message) {
	ttl := q.ttl
	if own, err := strconv.Atoi(m.properties.expiration); err == nil {
		if own := time.Duration(own) * time.Millisecond; ttl < 0 || own < ttl {
			ttl = own
		}
	}
	if ttl < 0 {
		return
	}
	end := func() {
		i := slices.Index(q.ready, m)
		if i < 0 || q.removed {
			return
		}
		q.ready = slices.Delete(q.ready, i, i+1)
		q.bury(m, "expired")
	}
	if ttl == 0 {
		end()
		return
	}
	q.engine.after(ttl, end)
}

// bury sends a message to where dead letters go.
func (q *queue) bury(m *message, reason string) {
	if !q.deadLetter || q.removed {
		return
	}
	dead := m.dead(q.name, reason, q.engine.options.Release)
	if q.deadKey != "" {
		dead.key = q.deadKey
	}
	if to := q.view.find(dead.key); to != nil {
		to.add(dead)
	}
}

// take removes the first message.
func (q *queue) take() *message {
	m := q.ready[0]
	q.ready = q.ready[1:]
	return m
}

// deliver sends what the consumers have room for.
func (q *queue) deliver() {
	if q.log != nil {
		for _, m := range q.consumers {
			q.follow(m)
		}
		return
	}
	for len(q.ready) > 0 && !q.removed {
		m := q.willing()
		if m == nil {
			return
		}
		m.deliver(q.take())
	}
}

// follow sends what is in the log and a consumer has room for.
func (q *queue) follow(m *consumer) {
	for m.next < int64(len(q.log.messages)) && m.hasRoom() {
		if q.log.messages[m.next] == nil {
			m.next++
			continue
		}
		stored := q.log.messages[m.next].with("x-stream-offset", m.next)
		if stored.properties.deliveryMode == 0 && q.engine.options.Release != V310 {
			stored.properties.deliveryMode = 1
		}
		m.next++
		m.deliver(stored)
	}
}

// willing is the consumer whose turn it is, or nil.
func (q *queue) willing() *consumer {
	if q.singleActor {
		if q.active != nil && q.active.hasRoom() {
			return q.active
		}
		return nil
	}
	for i, m := range q.consumers {
		if m.hasRoom() { // it goes behind its equals
			rest := q.consumers[i+1:]
			n := 0
			for n < len(rest) && rest[n].priority == m.priority {
				n++
			}
			copy(q.consumers[i:], rest[:n])
			q.consumers[i+n] = m
			return m
		}
	}
	return nil
}

func (m *consumer) hasRoom() bool {
	return !m.gone && (m.noAck || m.prefetch == 0 || m.open < m.prefetch)
}
