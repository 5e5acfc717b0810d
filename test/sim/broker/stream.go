package broker

import "time"

// log is the content of a stream: messages in chunks of what came at nearly one time.
type log struct {
	messages []*message // nil at the head of a segment, where readers see no message
	chunk    int        // where the last chunk begins
	last     time.Time
}

// chunkTime is within what time messages share a chunk.
const chunkTime = 5 * time.Millisecond

// segment is how many offsets a segment has but the first. RabbitMQ counts bytes, and
// does not come to its end within one schedule.
const segment = 10

func (l *log) append(m *message) {
	if len(l.messages)%segment == segment-1 {
		l.messages = append(l.messages, nil)
	}
	if now := time.Now(); now.Sub(l.last) > chunkTime {
		l.chunk, l.last = len(l.messages), now
	}
	l.messages = append(l.messages, m)
}

// start is where a consumer begins to read that asks for an offset. nil is none.
func (l *log) start(offset any) (next int64, ok bool) {
	if number, ok := integer(offset); ok {
		return number, true
	}
	if _, ok := offset.(time.Time); ok {
		return 0, true
	}
	switch offset {
	case "first":
		return 0, true
	case "last":
		return int64(l.chunk), true
	case "next", nil:
		return int64(len(l.messages)), true
	}
	return 0, false
}
