package history

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// The types of records.
const (
	TypeGrant = "grant"
	TypeEnd   = "end"
	TypeAlive = "alive" // a sign of life, from a run whose slot was granted again
	TypeGone  = "gone"  // another run has seen that this one does not hold its slot
)

// Results of runs. amqplock documents them.
const (
	ResultReleased  = "released"
	ResultLost      = "lost"
	ResultSkipped   = "skipped"
	ResultWithdrawn = "withdrawn"
)

// recordVersion is that of the records. Fields are added without a new one.
const recordVersion = 1

// Record is one message of the log, as it is on the wire. A reader ignores fields that it
// does not know.
type Record struct {
	Version int       `json:"version"`
	Type    string    `json:"type"`
	Token   int64     `json:"token,omitempty"` // of the grant; none if it was not fenced
	Kind    wire.Kind `json:"kind"`            // two locks may share a name
	ID      string    `json:"id"`              // of the run
	At      time.Time `json:"at"`

	Host string `json:"host,omitempty"`
	User string `json:"user,omitempty"`

	// A grant has these.
	Slots    []int             `json:"slots,omitempty"` // none of a mutex
	PID      int               `json:"pid,omitempty"`
	Command  string            `json:"command,omitempty"`
	Job      string            `json:"job,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"`
	Regain   float64           `json:"regain,omitempty"`   // seconds; it may take the lock again
	Regained bool              `json:"regained,omitempty"` // it has: a grant of this ID came before
	Beacon   string            `json:"beacon,omitempty"`   // it is lit while the run is connected

	// An end has these.
	Result  string  `json:"result,omitempty"`
	Status  *int    `json:"status,omitempty"`  // of the command, if it exited
	Signal  string  `json:"signal,omitempty"`  // that killed the command
	Seconds float64 `json:"seconds,omitempty"` // of a sign of life: how long it may go on

	// Read says what the writer knew of the tokens.
	Read *Mark `json:"read,omitempty"`
}

// Mark says that no record of the log up to Offset has a token larger than Token.
type Mark struct {
	Offset int64 `json:"offset"`
	Token  int64 `json:"token"`

	// Open are the fenced grants up to Offset that have no end there. It is nil if the
	// writer did not know, or if they are too many.
	Open openGrants `json:"open,omitzero"`
}

// OpenGrant is a fenced grant that has no end yet.
type OpenGrant struct {
	ID     string  `json:"id"`              // of the run
	Slots  []int   `json:"slots,omitempty"` // none of a mutex
	Regain float64 `json:"regain,omitempty"`
	Beacon string  `json:"beacon,omitempty"`
	// Gone is when another run has seen that it does not hold its slots, in Unix
	// milliseconds; 0 if none has.
	Gone int64 `json:"gone,omitempty"`
}

// openGrants are the fenced grants without an end, in the order of the log. A value is
// never changed.
type openGrants []OpenGrant

// succeeded reports whether it is the end of a command that exited with 0.
func (r *Record) succeeded() bool {
	return r.Type == TypeEnd && r.Result == "ended" && r.Status != nil && *r.Status == 0
}

// rivals reports whether r grants another run what own grants. Grants of one ID are one
// run.
func (r *Record) rivals(own *Record) bool {
	return r.Type == TypeGrant && r.ID != own.ID && overlap(r.Slots, own.Slots)
}

// overlap reports whether two grants have a slot in common. A mutex has no slots in its
// records, and a semaphore has some.
func overlap(a, b []int) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	return slices.ContainsFunc(a, func(slot int) bool { return slices.Contains(b, slot) })
}

// Writer names the writer of a record in messages.
func (r *Record) Writer() string {
	if r.Host == "" {
		return "somebody unknown"
	}
	return r.User + "@" + r.Host
}

// entry is a record and where it is.
type entry struct {
	offset int64
	record *Record // nil for one that cannot be read
}

// The bounds of a record. A reader takes longer ones for garbage. JSON doubles quotes and
// backslashes, and a mark can name 128 grants with long IDs: those make 96 kB.
const (
	maxRecord   = 128 << 10
	maxText     = 1200 // bytes of one text
	maxMetadata = 4000 // bytes of all keys and values
)

// maxToken leaves room for 2^62 more grants after a record that somebody has forged.
const maxToken = 1 << 62

// encode makes the message. It cuts what is too long, when it is printable: JSON writes a
// control character with six bytes.
func (r Record) encode() ([]byte, error) {
	r.Version = recordVersion
	r.eachText(func(text string) string {
		text = wire.Printable(text)
		if len(text) > maxText {
			text = strings.ToValidUTF8(text[:maxText], "") + "..."
		}
		return text
	})
	size := 0
	kept := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(r.Metadata)) {
		name, value := wire.Printable(key), wire.Printable(r.Metadata[key])
		if size += len(name) + len(value); size <= maxMetadata {
			kept[name] = value
		}
	}
	r.Metadata = kept
	body := new(bytes.Buffer)
	encoder := json.NewEncoder(body)
	encoder.SetEscapeHTML(false) // which makes six bytes of <, > and &
	err := encoder.Encode(r)
	return bytes.TrimSuffix(body.Bytes(), []byte("\n")), err
}

var errGarbage = errors.New("not a record")

// decode reads a message that anybody may have written.
func decode(body []byte) (*Record, error) {
	var r Record
	if len(body) > maxRecord {
		return nil, errGarbage
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, err
	}
	if r.Version < 1 || r.ID == "" ||
		r.Type != TypeGrant && r.Type != TypeEnd && r.Type != TypeAlive && r.Type != TypeGone ||
		r.Kind != wire.Mutex && r.Kind != wire.Semaphore ||
		r.Token < 0 || r.Token > maxToken || r.Seconds < 0 || r.Regain < 0 {
		return nil, errGarbage
	}
	if r.Read != nil && (r.Read.Offset < 0 || r.Read.Token < 0 || r.Read.Token > maxToken) {
		return nil, errGarbage
	}
	r.eachText(wire.Printable)
	metadata := map[string]string{}
	for key, value := range r.Metadata {
		metadata[wire.Printable(key)] = wire.Printable(value)
	}
	r.Metadata = metadata
	return &r, nil
}

func (r *Record) eachText(change func(string) string) {
	for _, text := range []*string{
		&r.ID, &r.Host, &r.User, &r.Command, &r.Job, &r.Result, &r.Signal,
	} {
		*text = change(*text)
	}
}
