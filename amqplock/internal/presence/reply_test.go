package presence

import (
	"crypto/rand"
	"encoding/base64"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/testbroker"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

const numbers = "\x00\x00\x01\x02\x00\x00\x00\x00\x5f\x00\x00\x01"

func addressOf(process, key string) string {
	return replyPrefix + "." + base64.StdEncoding.EncodeToString([]byte(process)) + "." + key
}

// forged are addresses that no broker has made. RabbitMQ before 4.2 fails at most of
// them.
var forged = map[string]string{
	"no parts":         replyPrefix + ".",
	"no base64":        replyPrefix + ".?!.key",
	"no key":           addressOf("\x83\x58\x77\x07reply@1"+numbers, ""),
	"a key with dots":  addressOf("\x83\x58\x77\x07reply@1"+numbers, "a.b"),
	"no term":          addressOf("process", "key="),
	"another term":     addressOf("\x83\x6a", "a2V5"),
	"no node":          addressOf("\x83\x58\x77\x00"+numbers, "a2V5"),
	"a name as a node": addressOf("\x83\x58\x77\x0arabbit@one"+numbers, "a2V5"),
	"too short":        addressOf("\x83\x58\x76\x00\x07reply@1", "a2V5"),
	"too long":         addressOf("\x83\x58\x77\x07reply@1"+numbers+"\x00", "a2V5"),
	"a number too large": addressOf("\x83\x58\x77\x07reply@1"+
		"\xff\xff\xff\xff\x00\x00\x00\x00\x5f\x00\x00\x01", "a2V5"),
}

// genuine are processes of brokers that run for long. Erlang counts the serial up when it
// has used all numbers: 2^15 up to version 25, and 2^28 later.
var genuine = []string{
	"\x83\x58\x76\x00\x07reply@1" + numbers,
	"\x83\x58\x77\x07reply@1\x00\x00\x7f\xff\x00\x00\x1f\xff\x5f\x00\x00\x01",
	"\x83\x58\x77\x07reply@1\x0f\xff\xff\xff\xff\xff\xff\xff\x5f\x00\x00\x01",
}

func TestForgedAddresses(t *testing.T) {
	t.Parallel()
	for _, process := range genuine {
		if address := addressOf(process, "a2V5"); !isGenuine(address) {
			t.Errorf("%q is taken for a forged one", address)
		}
	}
	for what, address := range forged {
		if isGenuine(address) {
			t.Errorf("%s: %q is taken for one of the broker", what, address)
		}
	}
}

// An asker must not be able to end the connections of participants that answer. Waiters
// among them would lose their places.
func TestForgedAddressesEndNoConnection(t *testing.T) {
	t.Parallel()
	h := newHolder(t, "forged-"+rand.Text())
	channel, err := testLink(t).Lock.Channel()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range forged {
		err := channel.Publish(whoExchange, Key(h.lock), false, false, amqp.Publishing{ReplyTo: address})
		if err != nil {
			t.Fatal(err)
		}
		h.awaitAnswer(t, testLink(t))
	}
	if h.publish.IsClosed() {
		<-h.publish.Ended
		t.Errorf("the connection has ended: %v", wire.ConnectionLost(h.publish.Why))
	}
}

// The addresses that brokers make are genuine, whatever the version.
func TestGenuineAddress(t *testing.T) {
	t.Parallel()
	channel, err := testLink(t).Lock.Channel()
	if err != nil {
		t.Fatal(err)
	}
	queue, err := channel.QueueDeclare(testbroker.Name(), false, false, true, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := channel.Consume(replyPrefix, "", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	questions, err := channel.Consume(queue.Name, "", true, false, false, false, nil)
	if err == nil {
		err = channel.Publish("", queue.Name, false, false, amqp.Publishing{ReplyTo: replyPrefix})
	}
	if err != nil {
		t.Fatal(err)
	}
	if address := (<-questions).ReplyTo; !isGenuine(address) {
		t.Errorf("%q is taken for a forged one", address)
	}
}
