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

// dead is the dead letter of a message that has died in a queue.
func (m *message) dead(queue, reason string, release Release) *message {
	dead := *m
	dead.redelivered = false
	dead.properties.expiration = ""
	dead.properties.headers = m.deathNote(queue, reason, release)
	dead.exchange = ""
	return &dead
}

// deathNote is what the headers of a dead letter say.
func (m *message) deathNote(queue, reason string, release Release) table {
	headers := table{}
	maps.Copy(headers, m.properties.headers)
	count := int64(1)
	var others array
	before, _ := headers["x-death"].(array)
	for _, d := range before {
		death, _ := d.(table)
		if n, ok := integer(death["count"]); ok && death["queue"] == queue && death["reason"] == reason {
			count += n
		} else {
			others = append(others, d)
		}
	}
	headers["x-death"] = append(array{table{
		"reason": reason, "queue": queue, "exchange": m.exchange, "count": count,
		"time": time.Now(), "routing-keys": array{m.key},
	}}, others...)
	which := []string{"last"}
	if release == V310 {
		which = nil
	}
	if before == nil {
		which = append(which, "first")
	}
	for _, w := range which {
		headers["x-"+w+"-death-queue"] = queue
		headers["x-"+w+"-death-reason"] = reason
		headers["x-"+w+"-death-exchange"] = m.exchange
	}
	return headers
}
