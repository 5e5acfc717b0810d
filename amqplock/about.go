package amqplock

import (
	"encoding/json"
	"errors"
	"strings"
	"time"
	"unicode"
)

// About is what a participant, a holder or a waiter, tells of itself to whoever asks. All of it is its own word.
type About struct {
	ID       string            `json:"id,omitempty"` // tells this run from every other, and is what Evict takes; at most 200 bytes
	Host     string            `json:"host,omitempty"`
	PID      int               `json:"pid,omitempty"`
	User     string            `json:"user,omitempty"`
	Command  string            `json:"command,omitempty"`
	Job      string            `json:"job,omitempty"` // where to read on: the URL of a CI job
	Metadata map[string]string `json:"metadata,omitempty"`
}

// The exchanges, both direct and durable, on which participants are asked and evicted. They are two so that a permission can tell apart who may
// ask and who may evict. The queues begin with the name of the first.
const (
	whoExchange   = "amqprun.who"
	evictExchange = "amqprun.evict"
)

// everybody is the routing key of a question to the participants of all locks; lockKey makes no such key.
const everybody = "all"

// lockKey is the routing key of a question to the participants of one lock, at most 248 bytes.
func lockKey(kind Kind, name string) string { return string(kind[0]) + "/" + name }

// replyPrefix begins the addresses of direct reply-to. Answers go nowhere else: a question must not make a participant publish, with its own
// permissions, to a queue of the asker's choice.
const replyPrefix = "amq.rabbitmq.reply-to"

// answerVersion is that of the answers; fields are added without a new one.
const answerVersion = 1

// answer is the message of a participant.
type answer struct {
	Version int    `json:"version"`
	Kind    Kind   `json:"kind"`
	Name    string `json:"name"`
	About   About  `json:"about"`
	Slots   []int  `json:"slots,omitempty"`   // held; none while it waits
	Elastic bool   `json:"elastic,omitempty"` // it holds and stands in the line for more
	InLine  bool   `json:"in_line,omitempty"` // it waits in the line; else, without slots, it tries now and then
	Millis  int64  `json:"ms"`                // for how long it has held or waited
	Evicted bool   `json:"evicted,omitempty"` // it has begun to stop its work, for the question told it so

	arrived time.Time
}

// eviction is the message that tells a holder to stop.
type eviction struct {
	Version int    `json:"version"`
	Kind    Kind   `json:"kind"`
	Name    string `json:"name"`
	By      string `json:"by"`
}

// maxAnswer bounds what is read of a stranger.
const maxAnswer = 64 << 10

func readAnswer(body []byte) (answer, error) {
	var a answer
	if len(body) > maxAnswer {
		return a, errors.New("too long")
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return a, err
	}
	if a.Version < 1 || a.About.ID == "" || a.Millis < 0 || a.Kind != Mutex && a.Kind != Semaphore || CheckName(a.Name) != nil {
		return a, errors.New("not an answer")
	}
	for _, text := range []*string{&a.About.ID, &a.About.Host, &a.About.User, &a.About.Command, &a.About.Job} {
		*text = printable(*text)
	}
	metadata := map[string]string{}
	for key, value := range a.About.Metadata {
		metadata[printable(key)] = printable(value)
	}
	a.About.Metadata = metadata
	return a, nil
}

// printable keeps what others say of themselves from driving a terminal: it may be a forgery.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}
