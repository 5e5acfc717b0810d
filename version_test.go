package main

import (
	"os"
	"regexp"
	"runtime/debug"
	"testing"
)

func TestVersionLine(t *testing.T) {
	setting := func(key, value string) debug.BuildSetting { return debug.BuildSetting{Key: key, Value: value} }
	for want, info := range map[string]debug.BuildInfo{
		"amqprun " + version + " (go1.26.0)": {GoVersion: "go1.26.0", Main: debug.Module{Version: "(devel)"}},
		"amqprun 1.2.3-rc.1 (go1.26.0)":      {GoVersion: "go1.26.0", Main: debug.Module{Version: "v1.2.3-rc.1"}},
		"amqprun " + version + " (commit 0123abcd; go1.26.0)": {
			GoVersion: "go1.26.0", Main: debug.Module{Version: "v0.0.0-20260101000000-0123abcd"},
			Settings: []debug.BuildSetting{setting("vcs.revision", "0123abcd"), setting("vcs.modified", "false")},
		},
		"amqprun " + version + " (commit 0123abcd, modified; go1.26.0)": {
			GoVersion: "go1.26.0", Main: debug.Module{Version: "v0.0.0-20260101000000-0123abcd+dirty"},
			Settings: []debug.BuildSetting{setting("vcs.modified", "true"), setting("vcs.revision", "0123abcd")},
		},
	} {
		if got := versionLine(&info); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestVersionIsThatOfTheChangelog(t *testing.T) {
	changelog, err := os.ReadFile("CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	newest := regexp.MustCompile(`(?m)^## \[([0-9][^]]*)\]`).FindSubmatch(changelog)
	if newest == nil || string(newest[1]) != version {
		t.Errorf("version is %q, the newest section of CHANGELOG.md is %q", version, newest)
	}
}
