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
		command []string
		hidden  bool
		want    string
	}{
		{[]string{"make", "-j4", "all"}, false, "make -j4 all"},
		{[]string{"sh", "-c", "echo 'a'; b", ""}, false, `sh -c 'echo '"'"'a'"'"'; b' ''`},
		{[]string{"psql", "postgres://me:s3c/r@et@db/x"}, false, "psql postgres://me:***@db/x"},
		{[]string{"curl", "-u", "me:secret"}, true, "curl"},
	} {
		if got := shown(c.command, c.hidden); got != c.want {
			t.Errorf("%q is shown as %q, want %q", c.command, got, c.want)
		}
	}
	long := shown([]string{strings.Repeat("ä", 2000)}, false)
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
		{map[string]string{"CI_JOB_URL": "https://gitlab.example/o/r/-/jobs/8"}, "https://gitlab.example/o/r/-/jobs/8"},
		{map[string]string{"BUILD_URL": "https://jenkins.example/job/x/9/"}, "https://jenkins.example/job/x/9/"},
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
	for _, c := range []struct {
		action, lock string
		command      []string
		want         string
	}{
		{"", "builds", []string{"make", "all"}, "amqprun builds: make all"},
		{"", "builds", []string{"/usr/bin/make", "-j4"}, "amqprun builds: make"},
		{"", "builds", []string{"mysql", "-psecret"}, "amqprun builds: mysql"},
		{"", "builds", []string{"deploy", "hunter2"}, "amqprun builds: deploy"},
		{"", "builds", []string{"curl", "http://u:p@host/"}, "amqprun builds: curl"},
		{"", "builds", []string{"sh", "-c", "PASSWORD=x make all"}, "amqprun builds: sh"},
		{"", "b", []string{"a\x1b[31m\n\xff"}, "amqprun b: a?[31m?\uFFFD"},
		{"change", "builds", nil, "amqprun change builds"},
		{"", strings.Repeat("é", 200), []string{"x"}, "amqprun " + strings.Repeat("é", 79) + "…"},
	} {
		if got := ConnectionName(c.action, c.lock, c.command); got != c.want+end {
			t.Errorf("%q is called %q, want %q", c.command, got, c.want+end)
		}
	}
}
