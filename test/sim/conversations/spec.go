package conversations

import (
	"strconv"
	"strings"
)

// method is one of AMQP 0-9-1 and of RabbitMQ's extensions that amqprun's protocol uses.
// https://www.rabbitmq.com/amqp-0-9-1-reference
type method struct {
	class, id uint16
	name      string
	fields    []field
}

// field is an argument of a method. The name of an unused one is "-".
type field struct{ name, kind string }

// The kinds of fields: octet, short, long and longlong are numbers, and bit is a flag. A
// str has at most 255 bytes, and a text more.
var methods = spec(`
10 10 connection.start   octet:version-major octet:version-minor table:server-properties
    text:mechanisms text:locales
10 11 connection.start-ok table:client-properties str:mechanism text:response str:locale
10 30 connection.tune    short:channel-max long:frame-max short:heartbeat
10 31 connection.tune-ok short:channel-max long:frame-max short:heartbeat
10 40 connection.open    str:virtual-host str:- bit:-
10 41 connection.open-ok str:-
10 50 connection.close   short:reply-code str:reply-text short:class-id short:method-id
10 51 connection.close-ok
10 60 connection.blocked str:reason
10 61 connection.unblocked
20 10 channel.open     str:-
20 11 channel.open-ok  text:-
20 20 channel.flow     bit:active
20 21 channel.flow-ok  bit:active
20 40 channel.close    short:reply-code str:reply-text short:class-id short:method-id
20 41 channel.close-ok
40 10 exchange.declare short:- str:exchange str:type bit:passive bit:durable bit:auto-delete
    bit:internal bit:no-wait table:arguments
40 11 exchange.declare-ok
40 20 exchange.delete  short:- str:exchange bit:if-unused bit:no-wait
40 21 exchange.delete-ok
50 10 queue.declare    short:- str:queue bit:passive bit:durable bit:exclusive bit:auto-delete
    bit:no-wait table:arguments
50 11 queue.declare-ok str:queue long:message-count long:consumer-count
50 20 queue.bind       short:- str:queue str:exchange str:routing-key bit:no-wait
    table:arguments
50 21 queue.bind-ok
50 40 queue.delete     short:- str:queue bit:if-unused bit:if-empty bit:no-wait
50 41 queue.delete-ok  long:message-count
60 10 basic.qos        long:prefetch-size short:prefetch-count bit:global
60 11 basic.qos-ok
60 20 basic.consume    short:- str:queue str:consumer-tag bit:no-local bit:no-ack bit:exclusive
    bit:no-wait table:arguments
60 21 basic.consume-ok str:consumer-tag
60 30 basic.cancel     str:consumer-tag bit:no-wait
60 31 basic.cancel-ok  str:consumer-tag
60 40 basic.publish    short:- str:exchange str:routing-key bit:mandatory bit:immediate
60 50 basic.return     short:reply-code str:reply-text str:exchange str:routing-key
60 60 basic.deliver    str:consumer-tag longlong:delivery-tag bit:redelivered str:exchange
    str:routing-key
60 70 basic.get        short:- str:queue bit:no-ack
60 71 basic.get-ok     longlong:delivery-tag bit:redelivered str:exchange str:routing-key
    long:message-count
60 72 basic.get-empty  str:-
60 80 basic.ack        longlong:delivery-tag bit:multiple
60 90 basic.reject     longlong:delivery-tag bit:requeue
60 120 basic.nack      longlong:delivery-tag bit:multiple bit:requeue
85 10 confirm.select   bit:no-wait
85 11 confirm.select-ok
`)

// properties are those of a message, from the highest bit of their flags on.
var properties = fields("str:content-type str:content-encoding table:headers octet:delivery-mode " +
	"octet:priority str:correlation-id str:reply-to str:expiration str:message-id " +
	"longlong:timestamp str:type str:user-id str:app-id")

func spec(text string) (all []*method) {
	for line := range strings.Lines(strings.TrimSpace(text)) {
		words := strings.Fields(line)
		if line[0] == ' ' { // more of the last one
			last := all[len(all)-1]
			last.fields = append(last.fields, fields(line)...)
			continue
		}
		all = append(all, &method{
			class: uint16(number(words[0])), id: uint16(number(words[1])), name: words[2],
			fields: fields(strings.Join(words[3:], " ")),
		})
	}
	return all
}

func fields(text string) (all []field) {
	for word := range strings.FieldsSeq(text) {
		kind, name, _ := strings.Cut(word, ":")
		all = append(all, field{name, kind})
	}
	return all
}

func named(name string) *method {
	for _, m := range methods {
		if m.name == name {
			return m
		}
	}
	return nil
}

func numbered(class, id uint16) *method {
	for _, m := range methods {
		if m.class == class && m.id == id {
			return m
		}
	}
	return nil
}

// hasContent reports whether a message follows the method.
func (m *method) hasContent() bool {
	switch m.name {
	case "basic.publish", "basic.return", "basic.deliver", "basic.get-ok":
		return true
	}
	return false
}

// answers reports whether m is the answer to a request of the other name.
func (m *method) answers(request string) bool {
	return m.name == request+"-ok" || request == "basic.get" && m.name == "basic.get-empty"
}

// isAnswered reports whether the broker answers the method by another one.
func (m *method) isAnswered() bool {
	return m.name == "basic.get" || named(m.name+"-ok") != nil
}

// number is for numbers that are known to be some.
func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}
