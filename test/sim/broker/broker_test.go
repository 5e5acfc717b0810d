package broker

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// dial is a connection of the client library.
func dial(t *testing.T, b *Broker) *amqp.Connection { return dialNode(t, b, "broker") }

func dialNode(t *testing.T, b *Broker, host string) *amqp.Connection {
	t.Helper()
	c, err := amqp.DialConfig("amqp://guest:guest@broker/", amqp.Config{
		Dial: func(string, string) (net.Conn, error) {
			return b.DialContext(t.Context(), "tcp", host+":5672")
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// inBubble runs a test with a broker, in a bubble and outside of one.
func inBubble(t *testing.T, test func(t *testing.T, b *Broker)) {
	t.Helper()
	run := func(t *testing.T) {
		b := New(Options{})
		defer b.Close()
		test(t, b)
	}
	t.Run("bubble", func(t *testing.T) { synctest.Test(t, run) })
	t.Run("machine", run)
}

func code(err error) int {
	var e *amqp.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

func openChannel(t *testing.T, c *amqp.Connection) *amqp.Channel {
	t.Helper()
	ch, err := c.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

func TestExclusiveQueueHasOneOwner(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *Broker) {
		mine, other := dial(t, b), dial(t, b)
		defer other.Close()
		claim := func(c *amqp.Connection) error {
			_, err := openChannel(t, c).QueueDeclare("x", false, false, true, false,
				amqp.Table{"x-max-length": 0})
			return err
		}
		look := func(c *amqp.Connection) error {
			_, err := openChannel(t, c).QueueDeclarePassive("x", false, false, false, false, nil)
			return err
		}
		if err := look(mine); code(err) != amqp.NotFound {
			t.Errorf("a look at no queue: %v", err)
		}
		for range 2 {
			if err := claim(mine); err != nil {
				t.Error(err)
			}
		}
		if err := claim(other); code(err) != amqp.ResourceLocked {
			t.Errorf("a claim of another's queue: %v", err)
		}
		if err := look(other); code(err) != amqp.ResourceLocked {
			t.Errorf("a look at another's queue: %v", err)
		}
		if err := mine.Close(); err != nil {
			t.Error(err)
		}
		if err := claim(other); err != nil {
			t.Errorf("the end of a connection does not free its queue: %v", err)
		}
	})
}

// The broker frees what a silent client has after two to three heartbeats.
func TestSilentClientLosesItsQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		freed := make(chan time.Time, 1)
		b := New(Options{Heartbeat: 10 * time.Second, Observe: func(e Event) {
			if e.Kind == Freed {
				freed <- e.At
			}
		}})
		defer b.Close()
		socket, err := b.Dial()
		if err != nil {
			t.Fatal(err)
		}
		c, err := amqp.Open(socket, amqp.Config{
			Vhost: "/",
			SASL:  []amqp.Authentication{&amqp.PlainAuth{Username: "guest", Password: "guest"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, err = openChannel(t, c).QueueDeclare("x", false, false, true, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(3 * time.Second) // of the bubble
		silent := time.Now()
		socket.(*Socket).Lose()
		if took := (<-freed).Sub(silent); took < 17*time.Second || took > 30*time.Second {
			t.Errorf("freed after %s of silence", took)
		}
	})
}

func TestDeadLettersReachTheNextWaiter(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *Broker) {
		holder, waiter := dial(t, b), dial(t, b)
		defer waiter.Close()
		ch := openChannel(t, holder)
		will := amqp.Table{"x-message-ttl": 0, "x-dead-letter-exchange": "",
			"x-dead-letter-routing-key": "w"}
		must := func(_ any, err error) {
			if err != nil {
				t.Error(err)
			}
		}
		must(ch.QueueDeclare("w", true, false, false, false,
			amqp.Table{"x-single-active-consumer": true, "x-max-length": 1}))
		must(ch.QueueDeclare("h", true, false, false, false, will))
		kept, err := ch.Consume("h", "", false, false, false, false, nil)
		must(nil, err)
		must(nil, ch.Publish("", "h", false, false, amqp.Publishing{}))
		<-kept
		hints, err := openChannel(t, waiter).Consume("w", "", false, false, false, false, nil)
		must(nil, err)
		must(nil, holder.Close())
		if hint := <-hints; hint.Headers["x-death"] == nil {
			t.Errorf("the hint has no x-death: %v", hint.Headers)
		}
	})
}

// The answers to publishes that lead nowhere come in their order.
func TestReturnsAndConfirms(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *Broker) {
		c := dial(t, b)
		defer c.Close()
		ch := openChannel(t, c)
		if err := ch.Confirm(false); err != nil {
			t.Fatal(err)
		}
		returns := ch.NotifyReturn(make(chan amqp.Return, 1))
		confirm, err := ch.PublishWithDeferredConfirm("", "nowhere", true, false, amqp.Publishing{})
		if err != nil {
			t.Fatal(err)
		}
		if !confirm.Wait() || len(returns) != 1 {
			t.Errorf("%d returns", len(returns))
		}
	})
}

// In an alarm the first message is read, and nothing after it.
func TestAlarm(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *Broker) {
		c := dial(t, b)
		defer c.Close()
		notices := c.NotifyBlocked(make(chan amqp.Blocking, 2))
		ch := openChannel(t, c)
		b.Alarm("memory")
		if _, err := ch.QueueDeclare("q", false, false, false, false, nil); err != nil {
			t.Errorf("a request before the first message: %v", err)
		}
		if err := ch.Publish("", "q", false, false, amqp.Publishing{}); err != nil {
			t.Error(err)
		}
		if notice := <-notices; !notice.Active {
			t.Error("not blocked")
		}
		answered := make(chan error, 1)
		go func() {
			_, err := ch.QueueDelete("q", false, false, false)
			answered <- err
		}()
		select {
		case err := <-answered:
			t.Errorf("the broker reads in an alarm: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
		b.Alarm("")
		if err := <-answered; err != nil {
			t.Error(err)
		}
		if notice := <-notices; notice.Active {
			t.Error("still blocked")
		}
	})
}

// While a connection hangs nothing arrives. It arrives later.
func TestHeldConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := New(Options{})
		defer b.Close()
		var socket *Socket
		c, err := amqp.DialConfig("amqp://guest:guest@broker/", amqp.Config{
			Dial: func(string, string) (net.Conn, error) {
				conn, err := b.Dial()
				socket = conn.(*Socket)
				return conn, err
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ch := openChannel(t, c)
		for _, stuck := range []bool{false, true} {
			begun := time.Now()
			socket.Hold(begun.Add(5*time.Second), stuck)
			if _, err := ch.QueueDeclare("x", false, false, false, false, nil); err != nil {
				t.Error(err)
			}
			if took := time.Since(begun); took != 5*time.Second {
				t.Errorf("stuck %t: it took %s", stuck, took)
			}
		}
	})
}

// A node without a majority makes no stream. It makes it when the majority is back.
func TestStreamNeedsMajority(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := New(Options{})
		defer b.Close()
		c := dial(t, b)
		defer c.Close()
		ch := openChannel(t, c)
		b.Stall("broker", true)
		begun := time.Now()
		time.AfterFunc(5*time.Second, func() { b.Stall("broker", false) })
		args := amqp.Table{"x-queue-type": "stream"}
		for _, want := range []time.Duration{5 * time.Second, 0} { // it is there the second time
			if _, err := ch.QueueDeclare("x", true, false, false, false, args); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begun).Truncate(time.Second); took != want {
				t.Errorf("it took %s, not %s", took, want)
			}
			b.Stall("broker", want > 0)
			begun = time.Now()
		}
	})
}

// The message that the first consumer of a side has not acknowledged may be out of reach,
// and another waits in the queue.
func TestNoMessageCrossesASplit(t *testing.T) {
	t.Parallel()
	for _, cut := range []string{"a", "b"} {
		t.Run(cut, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { splitQueue(t, cut) })
		})
	}
}

// splitQueue has three consumers in line at a queue of two messages, two of them at node
// a, and cuts a node off.
func splitQueue(t *testing.T, cut string) {
	t.Helper()
	b := New(Options{Release: V43})
	defer b.Close()
	var publisher *amqp.Channel
	var all []<-chan amqp.Delivery
	for _, host := range []string{"a", "a", "b"} {
		c := dialNode(t, b, host)
		defer c.Close()
		publisher = openChannel(t, c)
		args := amqp.Table{"x-single-active-consumer": true}
		if _, err := publisher.QueueDeclare("w", true, false, false, false, args); err != nil {
			t.Fatal(err)
		}
		if err := publisher.Qos(1, 0, false); err != nil {
			t.Fatal(err)
		}
		messages, err := publisher.Consume("w", "", false, false, false, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, messages)
	}
	for range 2 {
		if err := publisher.Publish("", "w", false, false, amqp.Publishing{}); err != nil {
			t.Fatal(err)
		}
	}
	<-all[0]
	<-time.After(time.Second)
	b.Split([]string{cut}, 0)
	<-time.After(time.Second)
	for i, want := range []bool{false, false, true} { // the last is alone on its side
		got := false
		select {
		case _, got = <-all[i]:
		default:
		}
		if got != want {
			t.Errorf("consumer %d got the other message: %t, not %t", i, got, want)
		}
	}
}
