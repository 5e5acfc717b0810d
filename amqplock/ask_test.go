package amqplock

import (
	"encoding/json"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// askRaw publishes a question as a stranger would, and returns the first answer.
func askRaw(t *testing.T, cfg Config, exchange, key, replyTo string, body []byte) (answer, bool) {
	t.Helper()
	connection, err := amqp.Dial(cfg.URLs[0])
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	channel, err := connection.Channel()
	if err != nil {
		t.Fatal(err)
	}
	queue := replyPrefix
	if replyTo != replyPrefix {
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
	case <-time.After(300 * time.Millisecond): // an answer takes some milliseconds
		return answer{}, false
	}
}

func TestOnlyTheProperWayAsksAndEvicts(t *testing.T) {
	cfg := testConfig(t, Mutex)
	lock := mustAcquire(t, present(cfg, "proper-"+cfg.Name))
	seen(t, cfg, []string{"proper-" + cfg.Name}, nil)
	key := lockKey(Mutex, cfg.Name)
	if a, ok := askRaw(t, cfg, whoExchange, key, replyPrefix, nil); !ok || a.About.ID != "proper-"+cfg.Name {
		t.Errorf("no answer to a question: %+v", a)
	}
	if a, ok := askRaw(t, cfg, whoExchange, key, "test-"+cfg.Name, nil); ok {
		t.Errorf("it published to a queue of the asker's choice: %+v", a)
	}
	order, err := json.Marshal(eviction{Version: 1, Kind: Mutex, Name: cfg.Name, By: "me"})
	if err != nil {
		t.Fatal(err)
	}
	if a, ok := askRaw(t, cfg, whoExchange, key, replyPrefix, order); !ok || a.Evicted {
		t.Errorf("evicted by who may only ask: %+v", a)
	}
	if err := lock.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestFloodOfQuestions sends more questions than anybody answers; the holder goes on, and answers the next one that comes after.
func TestFloodOfQuestions(t *testing.T) {
	cfg := testConfig(t, Mutex)
	lock := mustAcquire(t, present(cfg, "flood-"+cfg.Name))
	seen(t, cfg, []string{"flood-" + cfg.Name}, nil)
	connection, err := amqp.Dial(cfg.URLs[0])
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	channel, err := connection.Channel()
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
	begun, asked := time.Now(), 0
	for ; time.Since(begun) < 500*time.Millisecond; asked++ {
		if err := channel.Publish(whoExchange, lockKey(Mutex, cfg.Name), false, false, amqp.Publishing{ReplyTo: replyPrefix}); err != nil {
			t.Fatal(err)
		}
	}
	if err := lock.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	over := time.Now()
	seen(t, cfg, []string{"flood-" + cfg.Name}, nil)
	if took := time.Since(over); took >= questionExpiry {
		t.Errorf("answers again after %s: the questions have piled up", took)
	}
	if err := channel.Close(); err != nil {
		t.Fatal(err)
	}
	atMost := int(time.Since(begun)/(10*time.Millisecond)) + 1
	if n := <-counted; n == 0 || n > atMost || asked < 2*atMost {
		t.Errorf("%d answers to %d questions, at most %d are right", n, asked, atMost)
	}
}
