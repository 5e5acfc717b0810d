package conversations

import (
	"bytes"
	"fmt"
	"net"
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
				got := simulate(t, release, script.text, func(c net.Conn) net.Conn { return c })
				for _, d := range differences(t, golden(folder, script.name), got) {
					t.Error(d)
				}
			})
		}
	}
}

// One answer that is not RabbitMQ's is found.
func TestAChangedAnswerIsFound(t *testing.T) {
	t.Parallel()
	const name = "closing"
	script, err := os.ReadFile("testdata/scripts/" + name + ".amqp")
	if err != nil {
		t.Fatal(err)
	}
	got := simulate(t, broker.V40, string(script), func(c net.Conn) net.Conn { return &liar{Conn: c} })
	found := differences(t, golden("4.0", name), got)
	if len(found) == 0 || !strings.Contains(found[0], "RESOURCE_LOOKED") {
		t.Errorf("found %q", found)
	}
}

// liar changes what the broker says.
type liar struct{ net.Conn }

func (l *liar) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	copy(p, bytes.ReplaceAll(p[:n], []byte("RESOURCE_LOCKED"), []byte("RESOURCE_LOOKED")))
	return n, err
}

// simulate holds a conversation with the simulated broker, in a bubble: it takes no time.
func simulate(
	t *testing.T, release broker.Release, script string, through func(net.Conn) net.Conn,
) (transcript string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := broker.New(broker.Options{Release: release})
		defer b.Close()
		var err error
		transcript, err = Play(script, Broker{
			Dial: func() (net.Conn, error) {
				c, err := b.Dial()
				if err != nil {
					return nil, err
				}
				return through(c), nil
			},
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
	files, err := filepath.Glob("testdata/scripts/*.amqp")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, script{strings.TrimSuffix(filepath.Base(file), ".amqp"), string(text)})
	}
	return all
}

func golden(folder, name string) string { return filepath.Join("testdata", folder, name+".amqp") }

// differences are the steps whose answers are not those of the golden file.
func differences(t *testing.T, golden, got string) (all []string) {
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
			all = append(all, fmt.Sprintf("%s: RabbitMQ:\n%s\nhere:\n%s", golden, want[i], have[i]))
		}
	}
	return all
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
