package conversations

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

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
