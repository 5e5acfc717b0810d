package docs

import (
	"encoding/xml"
	"io"
	"regexp"
	"strings"
	"testing"
)

// commands are the indented lines of the README that begin so, under a heading.
func commands(t *testing.T, heading, begin string) []string {
	t.Helper()
	_, section, _ := strings.Cut(read(t, "README.md"), "\n## "+heading+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var lines []string
	for line := range strings.Lines(section) {
		if command, ok := strings.CutPrefix(line, "    "); ok && strings.HasPrefix(command, begin) {
			lines = append(lines, strings.TrimSpace(command))
		}
	}
	if len(lines) == 0 {
		t.Fatalf("README, %s: no line begins with %q", heading, begin)
	}
	return lines
}

// TestReadmeThirtySeconds runs the first commands of a newcomer. Where they let time
// pass, the test waits for what is to happen in it.
func TestReadmeThirtySeconds(t *testing.T) {
	s := open(t, true)
	_, section, _ := strings.Cut(read(t, "README.md"), "\n    export AMQPRUN_URL=")
	script, _, _ := strings.Cut("export AMQPRUN_URL="+section, "\n\n")
	if !strings.Contains(script, " sleep 10 &\n") || !strings.Contains(script, `echo "my turn"`) ||
		!strings.Contains(script, " sleep 1; amqprun status\n") {
		t.Fatalf("not the lines that are meant here:\n%s", script)
	}
	script = strings.NewReplacer(
		"sleep 10",
		`sh -c 'until amqprun status --mutex hello | grep -q "1 waiting"; do :; done; echo first'`,
		"sleep 1; amqprun status",
		`until amqprun status >shown && grep -q "^mutex .hello.: held$" shown; do :; done; cat shown`,
	).Replace(s.here(script))
	r := s.start(nil, "sh", "-e", "-c", script).ends(0)
	said := r.out.String()
	if !strings.HasPrefix(said, "mutex \"hello\": held\n") ||
		!strings.HasSuffix(said, "\nfirst\nmy turn\n") || r.err.Len() > 0 {
		t.Errorf("they print\n%s%s", said, &r.err)
	}
}

// TestReadmeSemaphore runs the life of a semaphore.
func TestReadmeSemaphore(t *testing.T) {
	s := open(t, true)
	statuses := 0
	for _, line := range commands(t, "Recipes", "amqprun ") {
		r := s.start(s.broker(), "sh", "-c", line).ends(0)
		if _, want, shown := strings.Cut(line, "# semaphore"); shown {
			statuses++
			if got := strings.TrimSpace(r.out.String()); got != "semaphore"+want {
				t.Errorf("%s\nsays %q", line, got)
			}
		}
	}
	if statuses == 0 {
		t.Error("the README shows no status")
	}
}

func TestReadmeStep(t *testing.T) {
	s := open(t, true, "make")
	s.destroys("builds")
	step := blocks(t, "README.md", "Recipes", "sh")[0]
	s.start(s.broker(), "sh", "-e", "-c", step).ends(0).silent()
	s.journalHas("make all", "make ends")
}

// TestReadmeScript runs the script that holds a lock. While it does, nobody else gets it.
func TestReadmeScript(t *testing.T) {
	s := open(t, true, "make")
	const work = "# what needs the lock\n"
	script := blocks(t, "README.md", "Recipes", "sh")[2]
	if !strings.Contains(script, work) {
		t.Fatalf("no line %q in:\n%s", work, script)
	}
	const other = "env -u AMQPRUN_HOLD amqprun --mutex deploy -n -q -- true\n"
	script = strings.Replace(script, work, other+"[ $? -eq 75 ] || exit 9\nmake\n", 1)
	s.start(s.broker(), "sh", "-c", script).ends(0).silent()
	s.journalHas("make", "make ends")
	s.start(s.broker(), "amqprun", "--mutex", "deploy", "-n", "--", "true").ends(0)
}

// TestPictureShowsTheDemo fails when scripts/demo has other headings than the recording.
func TestPictureShowsTheDemo(t *testing.T) {
	var shown strings.Builder
	for d := xml.NewDecoder(strings.NewReader(read(t, "docs/demo.svg"))); ; {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if text, ok := token.(xml.CharData); ok {
			shown.Write(text)
		}
	}
	headings := regexp.MustCompile(`printf '\\n(.+)\\n\\n'`).
		FindAllStringSubmatch(read(t, "scripts/demo"), -1)
	if len(headings) != 2 {
		t.Fatalf("%d headings found in scripts/demo", len(headings))
	}
	for _, heading := range headings {
		want := strings.ReplaceAll(heading[1], " ", "\u00a0") // freeze draws such spaces
		if !strings.Contains(shown.String(), want) {
			t.Errorf("docs/demo.svg does not show %q: make picture", heading[1])
		}
	}
}
