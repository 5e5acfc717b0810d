package conversations

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amqprun/amqprun/test/sim/broker"
)

var releases = map[string]broker.Release{
	"3.10": broker.V310, "4.0": broker.V40, "4.3": broker.V43,
}

// The simulated broker answers as each release of RabbitMQ did.
func TestSimulator(t *testing.T) {
	t.Parallel()
	for folder, release := range releases {
		for _, script := range scripts(t) {
			t.Run(folder+"/"+script.name, func(t *testing.T) {
				t.Parallel()
				got := simulate(t, release, script.text)
				compare(t, filepath.Join("testdata", folder, script.name+".txt"), got)
			})
		}
	}
}

// simulate holds a conversation with the simulated broker, in a bubble: it takes no time.
func simulate(t *testing.T, release broker.Release, script string) (transcript string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := broker.New(broker.Options{Release: release})
		defer b.Close()
		var err error
		transcript, err = Play(script, Broker{
			Dial: b.Dial,
			Alarm: func(on bool) error {
				reason := ""
				if on {
					reason = "memory"
				}
				b.Alarm(reason)
				return nil
			},
			Quiet: 100 * time.Millisecond,
		})
		if err != nil {
			t.Fatalf("%v, after\n%s", err, transcript)
		}
	})
	return transcript
}

type script struct{ name, text string }

func scripts(t *testing.T) (all []script) {
	t.Helper()
	files, err := filepath.Glob("testdata/scripts/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, script{strings.TrimSuffix(filepath.Base(file), ".txt"), string(text)})
	}
	return all
}

// compare shows each step whose answers are not those of the golden file.
func compare(t *testing.T, golden, got string) {
	t.Helper()
	text, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	want, have := steps(string(text)), steps(got)
	for i := range max(len(want), len(have)) {
		switch {
		case i >= len(want) || i >= len(have):
			t.Fatalf("%s has %d steps, and this conversation has %d: it was not recorded anew",
				golden, len(want), len(have))
		case want[i] != have[i]:
			t.Errorf("%s: RabbitMQ:\n%s\nhere:\n%s", golden, want[i], have[i])
		}
	}
}

// steps cuts a transcript before each step.
func steps(transcript string) (all []string) {
	for line := range strings.SplitSeq(transcript, "\n") {
		if answer := strings.HasPrefix(line, " "); answer {
			all[len(all)-1] += "\n" + line
		} else {
			all = append(all, line)
		}
	}
	return all
}
