package presence

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// A waiter asks again and again, over one connection, and gives up where the broker is
// slow. A connection has a limit of channels.
func TestQuestionsThatWereGivenUpLeaveNoChannels(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const slow = 10 * time.Millisecond
		const channels = 30
		cost := func(_ *rand.Rand, method, _ string) time.Duration {
			if method == "basic.consume" {
				return slow
			}
			return 0
		}
		b := broker.New(broker.Options{Channels: channels, Cost: cost})
		defer b.Close()
		link, err := wire.Connect(t.Context(), wire.Broker{Dial: b.DialContext})
		if err != nil {
			t.Fatal(err)
		}
		defer link.Abort()
		if err := link.OpenPublish(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := declareExchanges(link.Publish()); err != nil {
			t.Fatal(err)
		}
		for range 2 * channels {
			ctx, cancel := context.WithTimeout(t.Context(), slow/2)
			if _, err := Ask(ctx, link, Everybody, 1); err == nil {
				t.Fatal("asked, although the broker has not answered")
			}
			cancel()
			<-time.After(slow)
		}
		if _, err := link.Publish().Channel(); err != nil {
			t.Error(err)
		}
	})
}

// One that answers with long messages, again and again, does not fill the asker's memory.
func TestAFloodOfLongAnswersIsCutOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := broker.New(broker.Options{})
		defer b.Close()
		link, err := wire.Connect(t.Context(), wire.Broker{Dial: b.DialContext})
		if err != nil {
			t.Fatal(err)
		}
		defer link.Abort()
		if err := declareExchanges(link.Lock); err != nil {
			t.Fatal(err)
		}
		channel, err := link.Lock.Channel()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := channel.QueueDeclare("flood", false, false, true, false, nil); err != nil {
			t.Fatal(err)
		}
		if err := channel.QueueBind("flood", Everybody, whoExchange, false, nil); err != nil {
			t.Fatal(err)
		}
		questions, err := channel.Consume("flood", "", true, false, false, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		const each = maxAnswer / 2
		go func() {
			question := <-questions
			for i := range 2 * maxBytes / each {
				a := Answer{Version: 1, Kind: wire.Mutex, Name: "x", About: About{
					ID: fmt.Sprint(i), Command: strings.Repeat("x", each),
				}}
				body, _ := json.Marshal(a)
				_ = channel.Publish("", question.ReplyTo, false, false, amqp.Publishing{Body: body})
			}
		}()
		answers, err := Ask(t.Context(), link, Everybody, math.MaxInt)
		if n := len(answers); err != nil || n == 0 || n > maxBytes/each {
			t.Errorf("%d answers of %d bytes, %v", n, each, err)
		}
	})
}
