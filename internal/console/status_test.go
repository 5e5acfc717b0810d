package console

import (
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock"
)

func TestStatusForPeople(t *testing.T) {
	t.Parallel()
	s := amqplock.Status{
		Kind: amqplock.KindSemaphore, Name: "builds", Slots: 6, Held: 5, Free: 1, Waiting: 3,
		Drain: &amqplock.Drain{To: 4},
		Holders: []amqplock.Participant{
			{
				Slots: []int{1, 2}, Elastic: true, Since: time.Unix(0, 0), Seconds: 61.4,
				About: amqplock.About{ID: "a1", Host: "ci-7", PID: 42, User: "joe", Command: "make all",
					Metadata: map[string]string{"k": "v", "a": "b"}},
			},
			{Slots: []int{5}, Unknown: true},
		},
		Waiters: []amqplock.Participant{
			{Position: 1, Priority: -5, Collected: []int{3, 4}, Since: time.Unix(0, 0),
				About: amqplock.About{ID: "b2", Host: "ci-8", PID: 43, User: "ann",
					Command: "make"}},
			{Since: time.Unix(0, 0), About: amqplock.About{ID: "c3", Host: "ci-9", PID: 44, User: "bob",
				Command: "make"}},
		},
	}
	var b strings.Builder
	if err := WriteLock(&b, s); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	since := time.Unix(0, 0).Local().Format(time.DateTime)
	want := []string{
		`semaphore "builds": 6 slots, 5 held, 1 free, 3 waiting; a drain leaves 4 of them, 0 free`,
		"PLACE ID WHO PID SINCE FOR NOTES COMMAND",
		"slots 1 2 a1 joe@ci-7 42 " + since + " 1m1s a=b k=v make all",
		"slot 5 - unknown holder - - - - -",
		"line 1, priority -5, has slots 3 4 b2 ann@ci-8 43 " + since + " 0s - make",
		"waits c3 bob@ci-9 44 " + since + " 0s - make",
		"2 more in line, of whom nothing is known",
	}
	if len(lines) != len(want) {
		t.Fatalf("got %q", lines)
	}
	for i, line := range lines {
		if got := strings.Join(strings.Fields(line), " "); got != want[i] {
			t.Errorf("got %q, want %q", got, want[i])
		}
	}
}

// Programs get times in UTC, and no escapes for a browser.
func TestJSONForPrograms(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 2, 14, 0, 0, 0, time.FixedZone("", 3600))
	about := amqplock.About{Command: "a <b> & c"}
	status := func() amqplock.Status {
		list := []amqplock.Participant{{About: about, Since: at}}
		return amqplock.Status{Holders: list, Waiters: slices.Clone(list)}
	}
	run := amqplock.Run{About: about, Granted: at, Ended: at}
	for name, write := range map[string]func(io.Writer) error{
		"status": func(w io.Writer) error { return WriteJSON(w, status()) },
		"statuses": func(w io.Writer) error {
			return WriteAllJSON(w, []amqplock.Status{status()})
		},
		"run": func(w io.Writer) error { return WriteRunJSON(w, run) },
		"history": func(w io.Writer) error {
			return WriteHistoryJSON(w, amqplock.Mutex("m"), []amqplock.Run{run})
		},
	} {
		var b strings.Builder
		err := write(&b)
		if n := strings.Count(b.String(), `"2026-03-02T13:00:00Z"`); err != nil || n != 2 ||
			!strings.Contains(b.String(), `"a <b> & c"`) {
			t.Errorf("%s: %s, %v", name, b.String(), err)
		}
	}
}
