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
