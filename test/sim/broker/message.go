package broker

import (
	"maps"
	"time"
)

// message is one in a queue.
type message struct {
	exchange, key string
	properties    properties
	body          []byte
	redelivered   bool
}

// with is a copy of the message with one more header.
func (m *message) with(header string, value any) *message {
	copied := *m
	copied.properties.headers = table{header: value}
	maps.Copy(copied.properties.headers, m.properties.headers)
	return &copied
}

// deathNote is what the headers of a dead letter say.
func (q *queue) deathNote(m *message, reason string) table {
	headers := table{}
	maps.Copy(headers, m.properties.headers)
	count := int64(1)
	var others array
	before, _ := headers["x-death"].(array)
	for _, d := range before {
		death, _ := d.(table)
		if n, ok := integer(death["count"]); ok && death["queue"] == q.name && death["reason"] == reason {
			count += n
		} else {
			others = append(others, d)
		}
	}
	headers["x-death"] = append(array{table{
		"reason": reason, "queue": q.name, "exchange": m.exchange, "count": count,
		"time": time.Now(), "routing-keys": array{m.key},
	}}, others...)
	which := []string{"last"}
	if q.b.options.Release == V310 {
		which = nil
	}
	if before == nil {
		which = append(which, "first")
	}
	for _, w := range which {
		headers["x-"+w+"-death-queue"] = q.name
		headers["x-"+w+"-death-reason"] = reason
		headers["x-"+w+"-death-exchange"] = m.exchange
	}
	return headers
}
