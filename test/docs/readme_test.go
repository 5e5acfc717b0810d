package docs

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
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

// TestReadmeSemaphore runs the life of a semaphore.
func TestReadmeSemaphore(t *testing.T) {
	s := open(t, true)
	statuses := 0
	for _, line := range commands(t, "Install", "amqprun ") {
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
	s.start(s.broker(), "sh", "-e", "-c", blocks(t, "README.md", "Recipes", "sh")[0]).ends(0).silent()
	s.journalHas("make all", "make ends")
}

// TestReadmePermissions gives three users what the README says, and has them do what it is for, and what it is not for.
func TestReadmePermissions(t *testing.T) {
	broker := os.Getenv("AMQPRUN_TEST_BROKER")
	if broker == "" {
		t.Skip("the broker in AMQPRUN_URL is not ours to disturb")
	}
	s := open(t, true)
	ctl := func(arguments ...string) {
		t.Helper()
		out, err := exec.Command(filepath.Join(root, "scripts", "broker"),
			append([]string{"ctl", "-n", broker, "-q"}, arguments...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("rabbitmqctl %q: %v\n%s", arguments, err, out)
		}
	}
	user := regexp.MustCompile(`^rabbitmqctl set_permissions (\w+) +'([^']*)' +'([^']*)' +'([^']*)'$`)
	as := map[string][]string{}
	for _, line := range commands(t, "Permissions", "rabbitmqctl ") {
		m := user.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("not understood: %s", line)
		}
		ctl("add_user", m[1], "secret")
		t.Cleanup(func() { ctl("delete_user", m[1]) })
		ctl("set_permissions", m[1], m[2], m[3], m[4])
		u, err := url.Parse(s.url)
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword(m[1], "secret")
		as[m[1]] = []string{"AMQPRUN_URL=" + u.String()}
	}
	for _, c := range []struct {
		user   string
		status int
		line   string
	}{
		{"admin", 0, "change --semaphore builds 1"},
		{"ci", 0, "--semaphore builds -- true"},
		{"cron", 0, "--mutex nightly -- true"},
		{"ci", 77, "--mutex nightly -- true"},
		{"ci", 77, "change --semaphore builds 1"},
		{"cron", 77, "--semaphore builds -- true"},
		{"admin", 77, "--semaphore builds -- true"},
		{"admin", 0, "destroy --semaphore builds"},
	} {
		s.start(as[c.user], append([]string{"amqprun"}, strings.Fields(c.line)...)...).ends(c.status)
	}
}
