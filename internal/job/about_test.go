package job

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestShownCommand(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		command   []string
		arguments bool
		want      string
	}{
		{[]string{"make", "-j4", "all"}, true, "make -j4 all"},
		{[]string{"sh", "-c", "echo 'a'; b", ""}, true, `sh -c 'echo '"'"'a'"'"'; b' ''`},
		{[]string{"psql", "postgres://me:s3c/r@et@db/x"}, true, "psql postgres://me:***@db/x"},
		{[]string{"curl", "-u", "me:secret"}, false, "curl"},
		{[]string{"deploy", "hunter2"}, false, "deploy"},
		{[]string{"/opt/a tool/run it", "x"}, false, "'run it'"},
		{[]string{"./make", "x"}, true, "./make x"},
	} {
		if got := Shown(c.command, c.arguments); got != c.want {
			t.Errorf("%q is shown as %q, want %q", c.command, got, c.want)
		}
	}
	long := Shown([]string{strings.Repeat("ä", 2000)}, false)
	if len(long) > maxShownCommand+3 || !utf8.ValidString(long) || !strings.HasSuffix(long, "...") {
		t.Errorf("a long command has %d bytes and ends in %q", len(long), long[len(long)-9:])
	}
}

func TestJobURL(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		env  map[string]string
		want string
	}{
		{nil, ""},
		{map[string]string{
			"GITHUB_SERVER_URL": "https://github.example", "GITHUB_REPOSITORY": "o/r", "GITHUB_RUN_ID": "77",
		}, "https://github.example/o/r/actions/runs/77"},
		{map[string]string{"CI_JOB_URL": "https://gitlab.example/o/r/-/jobs/8"},
			"https://gitlab.example/o/r/-/jobs/8"},
		{map[string]string{"BUILD_URL": "https://jenkins.example/job/x/9/"},
			"https://jenkins.example/job/x/9/"},
		{map[string]string{
			"BUILDKITE_BUILD_URL": "https://buildkite.com/o/p/builds/1", "BUILDKITE_JOB_ID": "ab-1",
		}, "https://buildkite.com/o/p/builds/1#ab-1"},
	} {
		if got := jobURL(func(name string) string { return c.env[name] }); got != c.want {
			t.Errorf("%v: %q, want %q", c.env, got, c.want)
		}
	}
}

func TestConnectionName(t *testing.T) {
	t.Parallel()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	end := fmt.Sprintf(" @%s:%d", host, os.Getpid())
	for what, want := range map[string]string{
		"builds: make":           "amqprun builds: make",
		"b: a\x1b[31m\n\xff":     "amqprun b: a?[31m?\uFFFD",
		"change builds":          "amqprun change builds",
		strings.Repeat("é", 200): "amqprun " + strings.Repeat("é", 79) + "…",
	} {
		if got := ConnectionName(what); got != want+end {
			t.Errorf("%q is called %q, want %q", what, got, want+end)
		}
	}
}
