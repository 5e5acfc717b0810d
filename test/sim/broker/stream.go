package broker

import (
	"fmt"
	"time"
)

// log is the content of a stream: messages in chunks of what came at nearly one time.
type log struct {
	messages []*message
	chunk    int // where the last chunk begins
	last     time.Time
}

func newLog() *log { return &log{} }

// chunkTime is within what time messages share a chunk.
const chunkTime = 5 * time.Millisecond

func (l *log) append(m *message) {
	if now := time.Now(); now.Sub(l.last) > chunkTime {
		l.chunk, l.last = len(l.messages), now
	}
	l.messages = append(l.messages, m)
}

// start finds out where a consumer begins to read, or refuses it.
func (m *consumer) start(args table) bool {
	ch, q, old := m.ch, m.queue, m.ch.c.b.options.Release == V310
	offset, given := args["x-stream-offset"]
	about := fmt.Sprintf("queue '%s' in vhost '/'", q.name)
	invalid := "PRECONDITION_FAILED - invalid arg 'x-stream-offset' for " + about
	switch {
	case q.log == nil && given:
		ch.fail(codePreconditionFailed, fmt.Sprintf("%s of queue type rabbit_%s_queue", invalid, q.kind))
		return false
	case q.log == nil:
		return true
	case m.prefetch == 0 && old:
		ch.fail(codePreconditionFailed,
			"PRECONDITION_FAILED - consumer prefetch count is not set for '"+about+"'")
		return false
	case m.prefetch == 0:
		ch.fail(codePreconditionFailed,
			"PRECONDITION_FAILED - consumer prefetch count is not set for stream "+about)
		return false
	case m.noAck && old:
		ch.c.fail(codeNotImplemented,
			"NOT_IMPLEMENTED - automatic acknowledgement not supported by stream queues "+about)
		return false
	case m.noAck:
		ch.c.fail(codeNotImplemented,
			"NOT_IMPLEMENTED - automatic acknowledgement not supported by stream "+about)
		return false
	}
	number, isNumber := integer(offset)
	switch _, isTime := offset.(time.Time); {
	case isNumber:
		m.next = number
	case offset == "first", isTime:
	case offset == "last":
		m.next = int64(q.log.chunk)
	case offset == "next", !given:
		m.next = int64(len(q.log.messages))
	case ch.c.b.options.Release == V43:
		ch.fail(codePreconditionFailed, fmt.Sprintf(
			"%s: {invalid_stream_offset_arg,{longstr,<<\"%v\">>}}", invalid, offset))
		return false
	default:
		ch.c.fault("INTERNAL_ERROR")
		return false
	}
	return true
}

// follow sends what is in the log and the consumer has room for.
func (m *consumer) follow() {
	l := m.queue.log
	for m.next < int64(len(l.messages)) && m.hasRoom() {
		stored := l.messages[m.next].with("x-stream-offset", m.next)
		if stored.properties.deliveryMode == 0 && m.queue.b.options.Release != V310 {
			stored.properties.deliveryMode = 1
		}
		m.next++
		m.queue.give(m, stored)
	}
}
