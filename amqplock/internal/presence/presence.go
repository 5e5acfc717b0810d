// Package presence is who holds a lock and who waits for it: participants answer
// questions about themselves, and holders stop when they are evicted. What they say is a
// claim, no proof. Nothing is stored on the broker that could become stale.
package presence

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/lease"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// Delay spares a run that ends at once what only a longer one needs.
const Delay = 200 * time.Millisecond

// These bound the work that questions make. A question that nobody takes in time is
// dropped. One is delivered only when the one before has been answered. So a flood of
// them costs the broker and the participant next to nothing, and the asker an answer.
const (
	maxQuestions   = 8
	questionExpiry = 5 * time.Second
	answerPause    = 10 * time.Millisecond
)

// retry is before a participant whose queue or channel was taken away shows itself again.
const retry = time.Minute

// Holding is what a holder shows of its lock.
type Holding struct {
	Slots   func() []int
	Elastic bool
	Evict   func(reason error) // ends the context of the lock
}

// Participant answers questions about this holder or waiter. It lives on the publish
// connection, of which there may be several, one after the other. The methods do nothing
// on nil, which is a participant that says nothing of itself.
type Participant struct {
	lock   wire.Ref
	broker wire.Broker // to log
	clock  lease.Clock
	about  func() About // called once

	priority int // as a waiter

	begin sync.Once
	began chan struct{} // closed when it first holds or waits
	begun time.Time     // then

	mu      sync.Mutex
	since   time.Duration // on clock: of the grant, of the place in the queue, or of the beginning
	inQueue bool
	holding *Holding // nil while it waits
	// collecting is of a waiter that may keep slots while it waits for more.
	collecting *Holding
	confirming chan struct{} // closed when the newest eviction is answered; nil: there is none

	answering sync.WaitGroup
}

// New returns nil where there is nothing to say: about is nil.
func New(
	lock wire.Ref, broker wire.Broker, clock lease.Clock, priority int, about func() About,
) *Participant {
	if about == nil {
		return nil
	}
	shown := func() About {
		a := about()
		a.ID = ShownID(a.ID)
		return a
	}
	return &Participant{
		lock: lock, broker: broker, clock: clock, about: sync.OnceValue(shown),
		since: clock.Now(), priority: priority, began: make(chan struct{}),
	}
}

// Is reports whether a is an answer of p.
func (p *Participant) Is(a Answer) bool { return p != nil && p.about().ID == a.About.ID }

// Joins notes a new place in the queue, or, with false, that there is none.
func (p *Participant) Joins(inQueue bool) {
	if p == nil {
		return
	}
	p.begins()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.inQueue = inQueue; inQueue {
		p.since = p.clock.Now()
	}
}

// Holds notes the grant.
func (p *Participant) Holds(h Holding) {
	if p == nil {
		return
	}
	p.begins()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.holding, p.since, p.inQueue = &h, p.clock.Now(), false
}

func (p *Participant) begins() {
	p.begin.Do(func() {
		p.begun = time.Now()
		close(p.began)
	})
}

// Collects notes what a waiter keeps meanwhile, or, with nil, that it keeps nothing.
func (p *Participant) Collects(h *Holding) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.collecting = h
}

// Appear answers on c until that connection ends, from Delay after the first Holds or
// Joins on. Sooner, of many that start at once those that still claim would wait for the
// queues of the others.
func (p *Participant) Appear(c *wire.Conn) {
	if p == nil {
		return
	}
	p.answering.Go(func() {
		select {
		case <-p.began:
		case <-c.Ended:
			return
		}
		for pause := Delay - time.Since(p.begun); ; pause = retry {
			select {
			case <-time.After(pause):
			case <-c.Ended:
				return
			}
			if err := p.answerOn(c); err != nil {
				if !c.IsClosed() {
					p.broker.Debugf("status does not show this run, and nobody can evict it: %v", err)
				}
				return
			}
		}
	})
}

// Wait returns when nothing answers any more, which takes the end of all publish
// connections.
func (p *Participant) Wait() {
	if p != nil {
		p.answering.Wait()
	}
}

// answerOn returns nil when the channel has ended after it worked.
func (p *Participant) answerOn(c *wire.Conn) error {
	channel, questions, err := p.listen(c)
	if wire.Code(err) == amqp.NotFound { // nobody has been present in this virtual host before
		if err = declareExchanges(c); err == nil {
			channel, questions, err = p.listen(c)
		}
	}
	if err != nil {
		return err
	}
	for question := range questions {
		_ = question.Ack(false) // first: nothing may follow an answer that the broker refuses
		p.answer(c, channel, question)
		select {
		case <-time.After(answerPause):
		case <-c.Ended:
		}
	}
	return nil
}

// listen opens a channel for the questions.
func (p *Participant) listen(c *wire.Conn) (*amqp.Channel, <-chan amqp.Delivery, error) {
	channel, err := c.Channel()
	if err != nil {
		return nil, nil, err
	}
	questions, err := p.declare(channel)
	if err != nil {
		_ = channel.Close()
	}
	return channel, questions, err
}

// declare makes the queue of this participant. Its name is new each time: the broker may
// not have noticed yet that an earlier connection, which owns the earlier queue, is dead.
func (p *Participant) declare(channel *amqp.Channel) (<-chan amqp.Delivery, error) {
	if err := channel.Qos(1, 0, false); err != nil {
		return nil, err
	}
	queue := whoExchange + "." + rand.Text()
	if _, err := channel.QueueDeclare(queue, false, false, true, false, amqp.Table{
		"x-queue-type":  "classic",
		"x-max-length":  maxQuestions,
		"x-message-ttl": questionExpiry.Milliseconds(),
	}); err != nil {
		return nil, err
	}
	type binding struct{ key, exchange string }
	bindings := []binding{
		{Key(p.lock), whoExchange}, {Everybody, whoExchange}, {p.about().ID, evictExchange},
	}
	if p.priority != 0 {
		bindings = append(bindings, binding{RankedKey(p.lock), whoExchange})
	}
	for _, b := range bindings {
		if err := channel.QueueBind(queue, b.key, b.exchange, false, nil); err != nil {
			return nil, err
		}
	}
	return channel.Consume(queue, "", false, true, false, false, nil)
}

func declareExchanges(c *wire.Conn) error {
	channel, err := c.Channel()
	if err != nil {
		return err
	}
	for _, exchange := range []string{whoExchange, evictExchange} {
		err := channel.ExchangeDeclare(exchange, amqp.ExchangeDirect, true, false, false, false, nil)
		if err != nil {
			return err
		}
	}
	return channel.Close()
}

// answer obeys and answers one question. The broker, and not the asker, says that it came
// through evictExchange, and so that the asker may evict us.
func (p *Participant) answer(c *wire.Conn, channel *amqp.Channel, question amqp.Delivery) {
	if !mayAnswer(c, question.ReplyTo) {
		return
	}
	var confirming chan struct{}
	if question.Exchange == evictExchange {
		confirming = p.evict(question)
	}
	if confirming != nil {
		defer close(confirming)
	}
	if c.Blocked() { // the broker does not read now, and we would hang
		return
	}
	body, err := json.Marshal(p.state(confirming != nil))
	if err == nil {
		err = channel.Publish("", question.ReplyTo, false, false, amqp.Publishing{
			ContentType: "application/json", CorrelationId: question.CorrelationId, Body: body,
		})
	}
	if err != nil {
		p.broker.Debugf("could not answer a question: %v", err)
	}
}

func (p *Participant) state(evicted bool) Answer {
	about := p.about()
	p.mu.Lock()
	defer p.mu.Unlock()
	a := Answer{
		Version: answerVersion, Kind: p.lock.Kind, Name: p.lock.Name, About: about, Priority: p.priority,
		InQueue: p.inQueue, Millis: (p.clock.Now() - p.since).Milliseconds(), Evicted: evicted,
	}
	switch {
	case p.holding != nil:
		a.Slots, a.Elastic = p.holding.Slots(), p.holding.Elastic
	case p.collecting != nil:
		a.Collected = p.collecting.Slots()
	}
	return a
}

// evict ends the lock's context if there is a lock, and it is the one that is meant. It
// ends the wait of a waiter that keeps slots.
func (p *Participant) evict(question amqp.Delivery) (confirming chan struct{}) {
	by, ok := readEviction(question.Body, p.lock)
	if !ok {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	holding := p.holding
	if holding == nil && p.collecting != nil && len(p.collecting.Slots()) > 0 {
		holding = p.collecting
	}
	if holding == nil {
		return nil
	}
	if user := question.UserId; user != "" { // for which the broker vouches
		by += fmt.Sprintf(" (user %q)", short(user))
	}
	p.confirming = make(chan struct{})
	holding.Evict(fmt.Errorf("evicted by %s", by))
	return p.confirming
}

// Confirmed reports whether somebody has evicted us. It waits until the answer to that is
// written, or ctx ends. The end of the publish connection could overtake the answer.
func (p *Participant) Confirmed(ctx context.Context) bool {
	if p == nil {
		return false
	}
	p.mu.Lock()
	confirming := p.confirming
	p.mu.Unlock()
	if confirming == nil {
		return false
	}
	select {
	case <-confirming:
	case <-ctx.Done():
	}
	return true
}
