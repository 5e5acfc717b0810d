package broker

import (
	"cmp"
	"fmt"
	"strings"
)

// declaration are the arguments of queue.declare.
type declaration struct {
	name                                           string
	passive, durable, exclusive, autoDelete, quiet bool
	args                                           table
}

// endsOfLines are taken out of names that are declared.
var endsOfLines = strings.NewReplacer("\r", "", "\n", "")

func readDeclaration(r reader) declaration {
	_ = r.short()
	d := declaration{name: endsOfLines.Replace(r.shortString())}
	bits := r.octet()
	d.passive, d.durable, d.exclusive = bits&1 != 0, bits&2 != 0, bits&4 != 0
	d.autoDelete, d.quiet = bits&8 != 0, bits&16 != 0
	d.durable = d.durable && !d.exclusive // RabbitMQ does not keep exclusive queues
	d.args = r.table()
	return d
}

// kind is the type of a queue.
type kind string

const (
	classic kind = "classic"
	quorum  kind = "quorum"
	stream  kind = "stream"
)

// differs says why a declare that finds the queue is refused; "" where it is not.
func (q *queue) differs(d declaration, c *conn) (why string, code uint16) {
	if q.owner != nil && q.owner != c || d.exclusive != (q.owner != nil) {
		return locked(q.name), codeResourceLocked
	}
	inequivalent := func(arg string, got, is any) (string, uint16) {
		return fmt.Sprintf("PRECONDITION_FAILED - inequivalent arg '%s' for queue '%s' in vhost '/': "+
			"received %v but current is %v", arg, q.name, got, is), codePreconditionFailed
	}
	if d.durable != q.durable {
		return inequivalent("durable", quoted(d.durable), quoted(q.durable))
	}
	for _, arg := range []string{
		"x-expires", "x-message-ttl", "x-dead-letter-exchange", "x-dead-letter-routing-key",
		"x-max-length", "x-max-length-bytes", "x-single-active-consumer", "x-queue-type",
		"x-stream-max-segment-size-bytes",
	} {
		got, is := d.args[arg], q.args[arg]
		if arg == "x-queue-type" && q.b.options.Release != V310 {
			got, is = cmp.Or(got, any("classic")), cmp.Or(is, any("classic"))
		}
		gotNumber, isNumber := integer(got)
		wasNumber, wasOne := integer(is)
		switch {
		case got == is, isNumber && wasOne && gotNumber == wasNumber:
		case got == nil, is == nil:
			return inequivalent(arg, valued(got), valued(is))
		default:
			return inequivalent(arg, quoted(got), quoted(is))
		}
	}
	return "", 0
}

func quoted(v any) string { return fmt.Sprintf("'%v'", v) }

// valued is how RabbitMQ shows an argument that the other side does not have.
func valued(v any) string {
	switch v := v.(type) {
	case nil:
		return "none"
	case int32:
		return fmt.Sprintf("the value '%d' of type 'signedint'", v)
	case int64:
		return fmt.Sprintf("the value '%d' of type 'long'", v)
	case bool:
		return fmt.Sprintf("the value '%t' of type 'bool'", v)
	default:
		return fmt.Sprintf("the value '%v' of type 'longstr'", v)
	}
}
