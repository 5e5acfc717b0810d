package history

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/amqprun/amqprun/amqplock/internal/presence"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

func TestRecordsSurviveTheWire(t *testing.T) {
	r := Record{
		Type: TypeGrant, Kind: wire.Semaphore, Token: 7, ID: "a", Slots: []int{3}, Host: "h", PID: 9,
		User: "u", Command: "make", Metadata: map[string]string{"k": "v"},
		Read: &Mark{Offset: 4, Token: 6},
	}
	body, err := r.encode()
	if err != nil {
		t.Fatal(err)
	}
	body = []byte(strings.Replace(string(body), "{", `{"of the future":{"x":[1]},`, 1))
	got, err := decode(body)
	if err != nil {
		t.Fatal(err)
	}
	r.Version = recordVersion
	want, _ := json.Marshal(r)
	if have, _ := json.Marshal(got); string(have) != string(want) {
		t.Errorf("got %s, want %s", have, want)
	}
}

func TestGarbageIsNoRecord(t *testing.T) {
	good := `{"version":1,"type":"grant","kind":"mutex","id":"a"}`
	if _, err := decode([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]string{
		"empty":            ``,
		"text":             `hello`,
		"another type":     `{"version":1,"type":"look","kind":"mutex","id":"a"}`,
		"no kind":          `{"version":1,"type":"grant","id":"a"}`,
		"no version":       `{"type":"grant","kind":"mutex","id":"a"}`,
		"no id":            `{"version":1,"type":"grant","kind":"mutex"}`,
		"a negative token": `{"version":1,"type":"grant","kind":"mutex","id":"a","token":-1}`,
		"a huge token": `{"version":1,"type":"grant","kind":"mutex","id":"a",` +
			`"token":9223372036854775807}`,
		"a token of text": `{"version":1,"type":"grant","kind":"mutex","id":"a","token":"7"}`,
		"a bad mark":      `{"version":1,"type":"grant","kind":"mutex","id":"a","read":{"offset":-2}}`,
		"a negative time": `{"version":1,"type":"end","kind":"mutex","id":"a","seconds":-2}`,
		"too long": `{"version":1,"type":"end","kind":"mutex","id":"` +
			strings.Repeat("a", maxRecord) + `"}`,
	} {
		if r, err := decode([]byte(body)); err == nil {
			t.Errorf("%s: got %+v", name, r)
		}
	}
}

func TestARecordIsCutAndCannotDriveATerminal(t *testing.T) {
	r := Record{
		Type: TypeGrant, Kind: wire.Mutex, ID: "a", Command: strings.Repeat("é", maxText),
		Host: "h\x1b[2J", Metadata: map[string]string{
			"a": strings.Repeat("x", 3000), "b": strings.Repeat("y", 3000),
		},
	}
	body, err := r.encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := decode(body)
	if err != nil {
		t.Fatal(err)
	}
	if len(body) > maxRecord || len(got.Command) > maxText+3 || len(got.Metadata) != 1 {
		t.Errorf("%d bytes, a command of %d, metadata %d", len(body), len(got.Command), len(got.Metadata))
	}
	if strings.Contains(got.Host, "\x1b") {
		t.Errorf("host %q", got.Host)
	}
}

// The longest record that amqprun can write, in the characters of which JSON makes most.
func TestTheLongestRecordCanBeRead(t *testing.T) {
	for _, one := range []string{"<", `"`, "\x01", "\u2028", "\xff", "é"} {
		long := strings.Repeat(one, maxMetadata)
		open := make(openGrants, maxMarked/2)
		for i := range open {
			open[i] = OpenGrant{
				ID: presence.ShownID(long), Slots: []int{i}, Regain: 0.123456789,
				Beacon: newBeacon(true).name, Gone: 1 << 50,
			}
		}
		r := Record{
			Type: TypeGrant, Kind: wire.Semaphore, ID: long, Host: long, User: long, Command: long,
			Job: long, Result: long, Signal: long, Metadata: map[string]string{"a": long[:maxMetadata/4]},
			Read: &Mark{Open: open},
		}
		body, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decode(body); err != nil || len(got.Read.Open) != len(open) {
			t.Errorf("%q: %d bytes: %+v, %v", one, len(body), got, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"version":1,"type":"grant","kind":"mutex","id":"a","read":{"offset":1,"token":2}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := decode(body)
		if err != nil {
			return
		}
		if _, err := r.encode(); err != nil {
			t.Error(err)
		}
	})
}
