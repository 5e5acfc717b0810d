package main

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestShownCommand(t *testing.T) {
	for _, c := range []struct {
		command []string
		hidden  bool
		want    string
	}{
		{[]string{"make", "-j4", "all"}, false, "make -j4 all"},
		{[]string{"sh", "-c", "echo 'a'; b", ""}, false, `sh -c 'echo '\''a'\''; b' ''`},
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

func TestMetadata(t *testing.T) {
	var m map[string]string
	v := metadataValue{&m}
	for _, bad := range []string{"", "x", "=x"} {
		if v.Set(bad) == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	if err := v.Set("k=a=b"); err != nil || m["k"] != "a=b" {
		t.Errorf("%v, %v", m, err)
	}
	if err := v.Set("k=again"); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("twice: %v", err)
	}
	if err := v.Set("long=" + strings.Repeat("x", maxMetadata)); err == nil {
		t.Error("metadata without an end")
	}
}

func TestFrameFitsTheTerminal(t *testing.T) {
	now := time.Date(2026, 3, 2, 14, 2, 11, 0, time.UTC)
	got := frame("a long line\nb\nc\n", now, 6, 4)
	if want := "\x1b[H2026-0\x1b[K\na long\x1b[K\nb\x1b[K\n\x1b[J"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
