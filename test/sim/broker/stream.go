package broker

import "time"

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
	l := m.queue.log
	switch {
	case m.prefetch == 0:
		m.ch.fail(codePreconditionFailed,
			"PRECONDITION_FAILED - consumer prefetch count is not set for stream queue '"+
				m.queue.name+"' in vhost '/'")
		return false
	case m.noAck:
		m.ch.c.fail(codeNotImplemented, "NOT_IMPLEMENTED - automatic acknowledgement not supported "+
			"by stream queue '"+m.queue.name+"' in vhost '/'")
		return false
	}
	switch offset := args["x-stream-offset"].(type) {
	case string:
		switch offset {
		case "first":
		case "last":
			m.next = int64(l.chunk)
		default:
			m.next = int64(len(l.messages))
		}
	case int32:
		m.next = int64(offset)
	case int64:
		m.next = offset
	case time.Time:
		m.next = 0
	default:
		m.next = int64(len(l.messages))
	}
	return true
}

// follow sends what is in the log and the consumer has room for.
func (m *consumer) follow() {
	l := m.queue.log
	for m.next < int64(len(l.messages)) && m.hasRoom() {
		stored := *l.messages[m.next]
		headers := table{"x-stream-offset": m.next}
		for key, value := range stored.properties.headers {
			headers[key] = value
		}
		stored.properties.headers = headers
		m.next++
		m.queue.give(m, &stored)
	}
}
