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

func (d declaration) kind() kind {
	if name, ok := d.args["x-queue-type"].(string); ok {
		return kind(name)
	}
	return classic
}

// differs refuses a declaration that does not fit that of an existing queue.
func (d declaration) differs(is declaration, release Release) *exception {
	if d.durable != is.durable {
		return d.inequivalent("durable", quoted(d.durable), quoted(is.durable))
	}
	for _, arg := range []string{
		"x-expires", "x-message-ttl", "x-dead-letter-exchange", "x-dead-letter-routing-key",
		"x-max-length", "x-max-length-bytes", "x-single-active-consumer", "x-queue-type",
		"x-stream-max-segment-size-bytes",
	} {
		got, was := d.args[arg], is.args[arg]
		if arg == "x-queue-type" && release != V310 {
			got, was = cmp.Or(got, any("classic")), cmp.Or(was, any("classic"))
		}
		gotNumber, isNumber := integer(got)
		wasNumber, wasOne := integer(was)
		switch {
		case got == was, isNumber && wasOne && gotNumber == wasNumber:
		case got == nil, was == nil:
			return d.inequivalent(arg, valued(got), valued(was))
		default:
			return d.inequivalent(arg, quoted(got), quoted(was))
		}
	}
	return nil
}

func (d declaration) inequivalent(arg, got, is string) *exception {
	return refuse(codePreconditionFailed, "PRECONDITION_FAILED - inequivalent arg '%s' for queue "+
		"'%s' in vhost '/': received %s but current is %s", arg, d.name, got, is)
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
