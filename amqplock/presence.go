package amqplock

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// What bounds the work that questions make. A question that nobody takes in time is dropped, and one is delivered only when the one before
// has been answered, so a flood of them costs the broker and the participant next to nothing, and the asker an answer.
const (
	maxQuestions   = 8
	questionExpiry = 5 * time.Second
	answerPause    = 10 * time.Millisecond
)

// presenceRetry is before a participant whose queue or channel was taken away shows itself again.
const presenceRetry = time.Minute

// presence makes a participant answer those who ask who holds and who waits, and stop when it is evicted. It lives on the talk connection, of
// which there may be several one after the other, and keeps no state on the broker that could be stale. Its methods do nothing on nil,
// which is the presence of who has nothing to tell.
type presence struct {
	cfg   Config
	begun time.Time

	mu     sync.Mutex
	told   *About        // nil until somebody asks
	since  time.Duration // on the clock of cfg: of the grant, of the place in the line, or of the beginning
	inLine bool
	lock   *Lock // nil while it waits

	answering sync.WaitGroup
}

func newPresence(cfg Config) *presence {
	if cfg.About == nil {
		return nil
	}
	return &presence{cfg: cfg, begun: time.Now(), since: cfg.clock.Now()}
}

// joins notes a new place in the line, or, with false, that there is none.
func (p *presence) joins(inLine bool) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.inLine = inLine; inLine {
		p.since = p.cfg.clock.Now()
	}
}

// holds notes the grant.
func (p *presence) holds(l *Lock) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lock, p.since, p.inLine = l, p.cfg.clock.Now(), false
}

// appear answers on talk, from talkDelay after the beginning on, until that connection ends.
func (p *presence) appear(talk *conn) {
	if p == nil {
		return
	}
	p.answering.Go(func() {
		for pause := talkDelay - time.Since(p.begun); ; pause = presenceRetry {
			select {
			case <-time.After(pause):
			case <-talk.ended:
				return
			}
			if err := p.answerOn(talk); err != nil {
				if !talk.IsClosed() {
					p.cfg.Logf("not shown by status, and not to be evicted: %v", err)
				}
				return
			}
		}
	})
}

// wait returns when nothing answers any more, which takes the end of all talk connections.
func (p *presence) wait() {
	if p != nil {
		p.answering.Wait()
	}
}

// answerOn returns nil when the channel has ended after it worked.
func (p *presence) answerOn(talk *conn) error {
	channel, questions, err := p.listen(talk)
	if code(err) == amqp.NotFound { // nobody has been present in this virtual host before
		if err = declareExchanges(talk); err == nil {
			channel, questions, err = p.listen(talk)
		}
	}
	if err != nil {
		return err
	}
	for question := range questions {
		_ = question.Ack(false) // first: nothing may follow an answer that the broker refuses, see lane.claim
		p.answer(talk, channel, question)
		select {
		case <-time.After(answerPause):
		case <-talk.ended:
		}
	}
	return nil
}

// listen opens a channel for the questions.
func (p *presence) listen(talk *conn) (*amqp.Channel, <-chan amqp.Delivery, error) {
	channel, err := talk.Channel()
	if err != nil {
		return nil, nil, err
	}
	questions, err := p.declare(channel)
	if err != nil {
		_ = channel.Close()
	}
	return channel, questions, err
}

// declare makes the queue of this participant. Its name is new each time: the broker may not have noticed yet that an earlier connection,
// which owns the earlier queue, is dead.
func (p *presence) declare(channel *amqp.Channel) (<-chan amqp.Delivery, error) {
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
	for _, b := range []struct{ key, exchange string }{
		{lockKey(p.cfg.Kind, p.cfg.Name), whoExchange}, {everybody, whoExchange}, {p.about().ID, evictExchange},
	} {
		if err := channel.QueueBind(queue, b.key, b.exchange, false, nil); err != nil {
			return nil, err
		}
	}
	return channel.Consume(queue, "", false, true, false, false, nil)
}

func declareExchanges(talk *conn) error {
	channel, err := talk.Channel()
	if err != nil {
		return err
	}
	for _, exchange := range []string{whoExchange, evictExchange} {
		if err := channel.ExchangeDeclare(exchange, amqp.ExchangeDirect, true, false, false, false, nil); err != nil {
			return err
		}
	}
	return channel.Close()
}

func (p *presence) about() About {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.told == nil {
		about := p.cfg.About()
		p.told = &about
	}
	return *p.told
}

// answer obeys and answers one question. That came through evictExchange, the broker says so and not the asker, if it may stop us.
func (p *presence) answer(talk *conn, channel *amqp.Channel, question amqp.Delivery) {
	if !strings.HasPrefix(question.ReplyTo, replyPrefix) {
		return
	}
	evicted := question.Exchange == evictExchange && p.evict(question.Body)
	if talk.blocked.Load() { // the broker does not read now, and we would hang
		return
	}
	body, err := json.Marshal(p.state(evicted))
	if err == nil {
		err = channel.Publish("", question.ReplyTo, false, false, amqp.Publishing{
			ContentType: "application/json", CorrelationId: question.CorrelationId, Body: body,
		})
	}
	if err != nil {
		p.cfg.Logf("could not tell who asks: %v", err)
	}
}

func (p *presence) state(evicted bool) answer {
	about := p.about()
	p.mu.Lock()
	defer p.mu.Unlock()
	a := answer{
		Version: answerVersion, Kind: p.cfg.Kind, Name: p.cfg.Name, About: about, InLine: p.inLine,
		Millis: (p.cfg.clock.Now() - p.since).Milliseconds(), Evicted: evicted,
	}
	if p.lock != nil {
		a.Slots, a.Elastic = p.lock.Slots(), p.cfg.Elastic
	}
	return a
}

// evict ends the lock's context if there is a lock, and it is the one that is meant.
func (p *presence) evict(body []byte) bool {
	var order eviction
	if json.Unmarshal(body, &order) != nil || order.Kind != p.cfg.Kind || order.Name != p.cfg.Name {
		return false
	}
	p.mu.Lock()
	l := p.lock
	p.mu.Unlock()
	if l == nil {
		return false
	}
	by := []rune(printable(order.By))
	l.lost(l.String(), fmt.Errorf("evicted by %s", string(by[:min(len(by), 200)])))
	return true
}
