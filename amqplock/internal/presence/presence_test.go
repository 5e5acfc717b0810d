package presence

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.uber.org/goleak"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/lease"
	"github.com/amqprun/amqprun/amqplock/internal/testbroker"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testLink(t *testing.T) *wire.Link { return slowLink(t, &atomic.Int64{}) }

// slowLink is a link over which all that comes from the broker takes delay.
func slowLink(t *testing.T, delay *atomic.Int64) *wire.Link {
	t.Helper()
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return slowConn{conn, delay}, err
	}
	b := wire.Broker{URLs: []string{testbroker.URL(t)}, Log: testbroker.Log(t), Dial: dial}
	link, err := wire.Connect(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(link.Abort)
	return link
}

type slowConn struct {
	net.Conn
	delay *atomic.Int64
}

func (s slowConn) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	<-time.After(time.Duration(s.delay.Load()))
	return n, err
}

// An overloaded broker takes longer than an asker waits otherwise.
func TestSlowAnswer(t *testing.T) {
	t.Parallel()
	h := newHolder(t, rand.Text())
	var delay atomic.Int64
	link := slowLink(t, &delay)
	if err := link.OpenPublish(t.Context()); err != nil {
		t.Fatal(err)
	}
	delay.Store(int64(missingPatience + 100*time.Millisecond))
	answers, err := Ask(t.Context(), link, Key(h.lock), 1)
	delay.Store(0)
	if err != nil || len(answers) != 1 {
		t.Errorf("%+v, %v; want one answer", answers, err)
	}
}

// holder is a participant that holds a mutex, as far as it says.
type holder struct {
	lock    wire.Ref
	id      string
	publish *wire.Conn

	mu      sync.Mutex
	evicted string // why
}

func (h *holder) reason() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.evicted
}

// newHolder returns when the holder answers.
func newHolder(t *testing.T, id string) *holder {
	t.Helper()
	link := testLink(t)
	h := &holder{lock: wire.Ref{Kind: wire.Mutex, Name: testbroker.Name()}}
	p := New(h.lock, link.Broker, lease.BootClock{}, 0, func() About { return About{ID: id} })
	h.id = p.about().ID
	p.Holds(Holding{Slots: func() []int { return []int{0} }, Evict: func(reason error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.evicted = reason.Error()
	}})
	link.OnPublish = p.Appear
	if err := link.OpenPublish(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.publish = link.Publish()
	t.Cleanup(func() { // before that of the link
		link.Abort()
		p.Wait()
	})
	h.awaitAnswer(t, testLink(t))
	return h
}

func (h *holder) awaitAnswer(t *testing.T, link *wire.Link) {
	t.Helper()
	for late := time.Now().Add(testbroker.Patience); ; {
		answers, err := Ask(t.Context(), link, Key(h.lock), 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(answers) == 1 && answers[0].About.ID == h.id {
			return
		}
		if time.Now().After(late) {
			t.Fatalf("the holder does not answer: %+v", answers)
		}
	}
}

// askRaw publishes a question as a foreign client, and returns the first answer.
func askRaw(
	t *testing.T, exchange, key, replyTo string, body []byte,
) (answer Answer, ok bool) {
	t.Helper()
	channel, err := testLink(t).Lock.Channel()
	if err != nil {
		t.Fatal(err)
	}
	queue, patience := replyPrefix, testbroker.Patience
	if replyTo != replyPrefix { // nobody may answer there; an answer takes some milliseconds
		patience = 300 * time.Millisecond
		q, err := channel.QueueDeclare(replyTo, false, false, true, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		queue = q.Name
	}
	answers, err := channel.Consume(queue, "", true, false, false, false, nil)
	if err == nil {
		err = channel.Publish(exchange, key, false, false, amqp.Publishing{ReplyTo: queue, Body: body})
	}
	if err != nil {
		t.Fatal(err)
	}
	select {
	case d := <-answers:
		a, err := readAnswer(d.Body)
		if err != nil {
			t.Fatal(err)
		}
		return a, true
	case <-time.After(patience):
		return Answer{}, false
	}
}

func TestOnlyTheProperWayAsksAndEvicts(t *testing.T) {
	t.Parallel()
	h := newHolder(t, "proper-"+rand.Text())
	key := Key(h.lock)
	if a, ok := askRaw(t, whoExchange, key, replyPrefix, nil); !ok || a.About.ID != h.id {
		t.Errorf("no answer to a question: %+v", a)
	}
	if a, ok := askRaw(t, whoExchange, key, "test-"+rand.Text(), nil); ok {
		t.Errorf("it published to a queue of the asker's choice: %+v", a)
	}
	order, err := json.Marshal(eviction{Version: 1, Kind: wire.Mutex, Name: h.lock.Name, By: "me"})
	if err != nil {
		t.Fatal(err)
	}
	if a, ok := askRaw(t, whoExchange, key, replyPrefix, order); !ok || a.Evicted {
		t.Errorf("evicted by a user who may only ask: %+v", a)
	}
	long := append(
		order[:len(order)-1:len(order)-1],
		[]byte(`,"x":"`+strings.Repeat("x", maxQuestion)+`"}`)...)
	if a, ok := askRaw(t, evictExchange, h.id, replyPrefix, long); !ok || a.Evicted {
		t.Errorf("it has read a question of %d bytes: %+v", len(long), a)
	}
	if h.reason() != "" {
		t.Errorf("evicted: %s", h.reason())
	}
}

// The broker vouches for the user in the reason; the rest is what that user says.
func TestEvictionNamesTheUser(t *testing.T) {
	t.Parallel()
	id := "evicted-\n" + rand.Text()
	h := newHolder(t, id)
	link := testLink(t)
	if err := Evict(t.Context(), link, h.lock, id, "op@desk\x1b[2J"); err != nil {
		t.Fatal(err)
	}
	if got, want := h.reason(),
		"evicted by op@desk\ufffd[2J (user \""+link.Publish().User+"\")"; got != want {
		t.Errorf("evicted: %q, want %q", got, want)
	}
}

// An ID is a routing key, and the library ends a connection that sends a longer one.
func TestLongIDs(t *testing.T) {
	t.Parallel()
	h := newHolder(t, "long-"+rand.Text()+strings.Repeat("x", 300))
	if len(h.id) != maxID {
		t.Errorf("the ID has %d bytes, want %d", len(h.id), maxID)
	}
	link := testLink(t)
	for _, id := range []string{h.id + "x", strings.Repeat("y", 300), "nobody-" + rand.Text()} {
		if err := Evict(t.Context(), link, h.lock, id, "me"); !errors.Is(err, fault.ErrNotFound) {
			t.Errorf("evict %s: %v, want ErrNotFound", wire.QuoteName(id), err)
		}
	}
	if err := Evict(t.Context(), link, h.lock, h.id, "me"); err != nil {
		t.Error(err)
	}
}

// More questions come than anybody answers. The holder goes on, and answers the next one
// that comes after.
//
// It runs alone: it bounds the time of that.
func TestFloodOfQuestions(t *testing.T) {
	h := newHolder(t, "flood-"+rand.Text())
	channel, err := testLink(t).Lock.Channel()
	if err != nil {
		t.Fatal(err)
	}
	answers, err := channel.Consume(replyPrefix, "", true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	counted := make(chan int)
	go func() {
		n := 0
		for range answers {
			n++
		}
		counted <- n
	}()
	after := testLink(t)
	if err := after.OpenPublish(t.Context()); err != nil { // a login is none of what is timed
		t.Fatal(err)
	}
	const asked = 20_000
	begun := time.Now()
	for range asked {
		question := amqp.Publishing{ReplyTo: replyPrefix}
		if err := channel.Publish(whoExchange, Key(h.lock), false, false, question); err != nil {
			t.Fatal(err)
		}
	}
	// The broker deals with what a channel sends in order, so it has all of them then.
	if err := channel.Qos(1, 0, false); err != nil {
		t.Fatal(err)
	}
	over := time.Now()
	h.awaitAnswer(t, after)
	if took := time.Since(over); took >= questionExpiry {
		t.Errorf("answers again after %s: the questions have piled up", took)
	}
	if err := channel.Close(); err != nil {
		t.Fatal(err)
	}
	atMost := int(time.Since(begun)/answerPause) + 1
	if n := <-counted; n == 0 || n > atMost || n > asked/2 {
		t.Errorf("%d answers to %d questions, at most %d are right", n, asked, atMost)
	}
}

// A participant that says nothing of itself is nil.
func TestNobody(t *testing.T) {
	t.Parallel()
	p := New(wire.Ref{}, wire.Broker{}, lease.BootClock{}, 0, nil)
	p.Joins(true)
	p.Holds(Holding{})
	p.Appear(nil)
	p.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Ask(ctx, testLink(t), Everybody, 1); err == nil {
		t.Error("asked with a context that has ended")
	}
}
