package doctor

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"regexp"
	"strings"

	"al.essio.dev/pkg/shellescape"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// The three kinds of permission.
const (
	configure = "configure"
	write     = "write"
	read      = "read"
)

const defaultExchange = "amq.default"

// permissions asks for each permission that a holder or waiter has a use for.
func (e *examination) permissions() {
	if e.ref.Name == "" {
		return
	}
	name := e.ref.Name
	switch e.ref.Kind {
	case wire.Mutex:
		e.configures(name, true, "")
		e.configuresAndReads(wire.Witness, true, "")
	case wire.Semaphore:
		e.configures(wire.HeldQueue(name, 1), true, "")
		e.reads(wire.SlotQueue(name, 1), true, "")
		e.configures(wire.HeldQueue(name, 0), false, "no --count all")
	}
	e.configuresAndReads(wire.WaitQueue(name), false, "waiters have no order")
	e.configuresAndReads(wire.WillQueue(name), false, "the next waiter finds out late")
	e.configuresAndReads(wire.LogQueue(name), false, "no --history and --fence")
	e.configuresAndReads("amqprun.clock."+rand.Text(), false, "no --fence")
	const unseen = "status does not show the holder, and nobody can evict it"
	queue := "amqprun.who." + rand.Text()
	e.configuresAndReads(queue, false, unseen)
	if e.binds(queue, "amqprun.who", true, unseen) {
		e.binds(queue, "amqprun.evict", false, unseen)
	}
}

func (e *examination) configuresAndReads(queue string, needed bool, costs string) {
	e.configures(queue, needed, costs)
	e.reads(queue, needed, costs)
}

// configures declares a queue with an argument that no queue can have. RabbitMQ looks at
// the permission first, and then declares nothing. The answer to a queue that exists is
// that it is another one, or another's.
func (e *examination) configures(queue string, needed bool, costs string) {
	e.ask(configure, queue, needed, costs, func(ch *amqp.Channel) error {
		impossible := amqp.Table{"x-expires": 0}
		_, err := ch.QueueDeclare(queue, false, false, true, false, impossible)
		return err
	})
}

// reads consumes with an argument that no consumer can have. Where the broker takes it
// all the same, the end of the channel is the end of the consumer.
func (e *examination) reads(queue string, needed bool, costs string) {
	e.ask(read, queue, needed, costs, func(ch *amqp.Channel) error {
		impossible := amqp.Table{"x-priority": "none"}
		_, err := ch.Consume(queue, "", false, false, false, false, impossible)
		if err == nil {
			_ = ch.Close()
		}
		return err
	})
}

// binds asks for what a binding takes: write on the queue, and then read on the exchange.
// The queue does not exist, so nothing is bound. Where there is no such exchange yet it
// takes configure too. It returns whether the queue may be bound, and with first adds a
// finding about that.
func (e *examination) binds(queue, exchange string, first bool, costs string) bool {
	err := e.do("ask for a permission", func(ch *amqp.Channel) error {
		return ch.QueueBind(queue, "doctor", exchange, false, nil)
	})
	reason := fmt.Sprint(err)
	err = answered(err)
	if err != nil && wire.Code(err) != amqp.AccessRefused {
		e.add(failed("permission", err))
		return false
	}
	writes := err == nil || strings.Contains(reason, "access to exchange ")
	if first {
		e.permission(write, queue, writes, false, costs)
	}
	if writes {
		e.permission(read, exchange, err == nil, false, costs)
	}
	if strings.Contains(reason, "no exchange ") {
		e.ask(configure, exchange, false, costs, func(ch *amqp.Channel) error {
			impossible := amqp.Table{"alternate-exchange": 0}
			return ch.ExchangeDeclare(exchange, amqp.ExchangeDirect, true, false, false, false, impossible)
		})
	}
	return writes
}

func (e *examination) ask(
	kind, resource string, needed bool, costs string, f func(*amqp.Channel) error,
) {
	err := e.do("ask for a permission", func(ch *amqp.Channel) error { return answered(f(ch)) })
	if wire.Code(err) == amqp.InternalError && wire.Fragile(e.link.Lock.Config.Vhost, resource) {
		err = e.connectAgain() // another has the queue, and we have the permission
	}
	if err != nil && wire.Code(err) != amqp.AccessRefused {
		e.add(failed("permission", err))
		return
	}
	e.permission(kind, resource, err == nil, needed, costs)
}

// permission adds what was found. Without a needed one there is no lock.
func (e *examination) permission(kind, resource string, granted, needed bool, costs string) {
	f := Finding{Check: "permission", Level: OK, Text: kind + " " + resource}
	if !granted {
		f.Level, f.Text, f.Fix = Warning, f.Text+" is missing", e.grant()
		switch {
		case needed:
			f.Level = Failure
			f.Err = &fault.Error{Kind: fault.ErrAccess, Text: f.Text, Hint: f.Fix}
		case costs != "":
			f.Text += ": " + costs
		}
	}
	e.add(f)
}

// grant is the command that gives the user all that the lock needs. It replaces what the
// user had, so without a lock there is none.
func (e *examination) grant() string {
	if e.ref.Name == "" {
		return "with --mutex or --semaphore NAME doctor prints the command"
	}
	name := regexp.QuoteMeta(e.ref.Name)
	own, slots := name+`(-[WHL])?|amqprun-witness`, name+`-[WHL]|amqprun-witness`
	if e.ref.Kind == wire.Semaphore {
		own, slots = name+`-(B-[0-9]+|[WHL])`, name+`-(A-[0-9]+|[WHL])`
	}
	const others = `amqprun\.(who.*|evict|clock\..*)`
	c := e.link.Lock
	line := []string{"rabbitmqctl", "set_permissions", "-p", c.Config.Vhost, cmp.Or(c.User, "USER"),
		pattern(own, others), pattern(`amq\.default`, `amqprun\.who.*`), pattern(slots, others)}
	return shellescape.QuoteCommand(line) + "  # instead of what the user has now"
}

func pattern(parts ...string) string {
	return fmt.Sprintf("^(%s)$", strings.Join(parts, "|"))
}
