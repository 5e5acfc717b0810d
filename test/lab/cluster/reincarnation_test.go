package cluster

import (
	"fmt"
	"net"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/test/lab/rig"
)

// A connection with many exclusive queues breaks, and another declares them at once. The
// broker's clean-up of the first may take what is the second's already
// (https://github.com/rabbitmq/rabbitmq-server/issues/15276). This is about the broker
// alone: how often it happens says how much the checks after a grant are needed.
func TestReincarnation(t *testing.T) {
	const queues, rounds = 50, 10
	for _, next := range []int{1, 2} {
		t.Run(fmt.Sprintf("again at node %d", next), func(t *testing.T) {
			begin(t)
			var count []func() int
			for round := range rounds {
				count = append(count,
					reincarnate(t, next, fmt.Sprintf("again-%d-%d-", next, round), queues))
			}
			rig.Pass(2 * time.Second)
			vanished := 0
			for _, of := range count {
				vanished += of()
			}
			t.Logf("%d of %d queues vanished", vanished, queues*rounds)
			if kept() && vanished > 0 {
				t.Error("queues vanish again")
			}
		})
	}
}

// reincarnate returns a function that counts how many of the second connection's queues
// are gone.
func reincarnate(t *testing.T, next int, prefix string, queues int) (count func() int) {
	t.Helper()
	var socket net.Conn
	dial := func(network, addr string) (c net.Conn, err error) {
		socket, err = net.Dial(network, addr)
		return socket, err
	}
	second, err := amqp.DialConfig(url(next), amqp.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = second.Close() })
	first, err := amqp.DialConfig(url(1), amqp.Config{Dial: dial})
	if err != nil {
		t.Fatal(err)
	}
	channel, err := first.Channel()
	if err != nil {
		t.Fatal(err)
	}
	for i := range queues {
		if err := declare(channel, fmt.Sprint(prefix, i)); err != nil {
			t.Fatal(err)
		}
	}
	_ = socket.(*net.TCPConn).SetLinger(0)
	_ = socket.Close()
	for i := range queues {
		rig.WaitFor(t, 40*time.Second, "the queue is free", func() bool {
			channel, err = second.Channel()
			return err == nil && declare(channel, fmt.Sprint(prefix, i)) == nil
		})
	}
	return func() (vanished int) {
		for i := range queues {
			if channel, err = second.Channel(); err != nil {
				t.Fatal(err)
			}
			if _, err := channel.QueueDeclarePassive(fmt.Sprint(prefix, i), false, false, true, false,
				nil); err != nil {
				vanished++
			}
		}
		return vanished
	}
}

func declare(channel *amqp.Channel, name string) error {
	_, err := channel.QueueDeclare(name, false, false, true, false, amqp.Table{"x-max-length": 0})
	return err
}
