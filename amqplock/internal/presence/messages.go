package presence

import (
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// About is what a participant, a holder or a waiter, says of itself. amqplock.About
// documents the fields; it has the same ones in the same order.
type About struct {
	ID       string            `json:"id,omitempty"`
	Host     string            `json:"host,omitempty"`
	PID      int               `json:"pid,omitempty"`
	User     string            `json:"user,omitempty"`
	Command  string            `json:"command,omitempty"`
	Job      string            `json:"job,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

// maxID bounds IDs: one is a routing key, which has at most 255 bytes.
const maxID = 200

// ShownID is an ID as others see it: printable, and not longer than maxID.
func ShownID(id string) string {
	id = wire.Printable(id)
	return strings.ToValidUTF8(id[:min(len(id), maxID)], "")
}

// The exchanges, both direct and durable, on which participants are asked and evicted.
// They are two because permissions are per exchange: a user may be allowed to ask and not
// to evict. The queues of participants begin with the name of the first.
const (
	whoExchange   = "amqprun.who"
	evictExchange = "amqprun.evict"
)

// Everybody is the routing key of a question to the participants of all locks; Key makes
// no such key.
const Everybody = "all"

// Key is the routing key of a question to the participants of one lock, at most 248
// bytes.
func Key(lock wire.Ref) string { return string(lock.Kind[0]) + "/" + lock.Name }

// RankedKey is the routing key of a question to the participants of one lock whose
// priority is not 0.
func RankedKey(lock wire.Ref) string { return "p/" + Key(lock) }

// answerVersion is that of the messages; fields are added without a new one.
const answerVersion = 1

// Answer is the message of a participant. All of it is the participant's own claim.
type Answer struct {
	Version int       `json:"version"`
	Kind    wire.Kind `json:"kind"`
	Name    string    `json:"name"`
	About   About     `json:"about"`
	Slots   []int     `json:"slots,omitempty"` // held; none while it waits
	// Collected are the slots that a waiter keeps while it waits for more.
	Collected []int `json:"collected,omitempty"`
	Elastic   bool  `json:"elastic,omitempty"` // it wants more
	InQueue   bool  `json:"in_line,omitempty"` // it waits in the queue
	Priority  int   `json:"priority,omitempty"`
	Millis    int64 `json:"ms"`                // how long it held or waited
	Evicted   bool  `json:"evicted,omitempty"` // it stops its work on request

	arrived time.Time
	bytes   int // of the message
}

// Lock is the lock that the participant holds or waits for.
func (a *Answer) Lock() wire.Ref { return wire.Ref{Kind: a.Kind, Name: a.Name} }

// Since is when the answer's milliseconds began, by our clock.
func (a *Answer) Since() time.Time {
	return a.arrived.Add(-time.Duration(a.Millis) * time.Millisecond).Round(time.Millisecond)
}

// eviction is the message that has a holder stop.
type eviction struct {
	Version int       `json:"version"`
	Kind    wire.Kind `json:"kind"`
	Name    string    `json:"name"`
	By      string    `json:"by"`
}

// maxAnswer and maxQuestion bound what is read of an untrusted message.
const (
	maxAnswer   = 64 << 10
	maxQuestion = 4 << 10
)

func readAnswer(body []byte) (Answer, error) {
	var a Answer
	if len(body) > maxAnswer {
		return a, errors.New("too long")
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return a, err
	}
	if a.Version < 1 || a.About.ID == "" || a.Millis < 0 || a.Lock().Check() != nil {
		return a, errors.New("not an answer")
	}
	for _, text := range []*string{
		&a.About.ID, &a.About.Host, &a.About.User, &a.About.Command, &a.About.Job,
	} {
		*text = wire.Printable(*text)
	}
	metadata := map[string]string{}
	for key, value := range a.About.Metadata {
		metadata[wire.Printable(key)] = wire.Printable(value)
	}
	a.About.Metadata = metadata
	return a, nil
}

// readEviction returns false for what is no order to evict a holder of lock.
func readEviction(body []byte, lock wire.Ref) (by string, ok bool) {
	var order eviction
	if len(body) > maxQuestion || json.Unmarshal(body, &order) != nil {
		return "", false
	}
	return short(order.By), order.Kind == lock.Kind && order.Name == lock.Name
}

// short is a name that somebody has given, for messages.
func short(name string) string {
	runes := []rune(wire.Printable(name))
	return string(runes[:min(len(runes), 200)])
}
