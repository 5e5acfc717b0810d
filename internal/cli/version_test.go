package cli

import (
	"runtime/debug"
	"testing"
)

func TestVersionLine(t *testing.T) {
	t.Parallel()
	setting := func(key, value string) debug.BuildSetting {
		return debug.BuildSetting{Key: key,
			Value: value}
	}
	for want, info := range map[string]debug.BuildInfo{
		"amqprun 0.0.9 (go1.26.0)": {GoVersion: "go1.26.0", Main: debug.Module{Version: "(devel)"}},
		"amqprun 1.2.3-rc.1 (go1.26.0)": {GoVersion: "go1.26.0",
			Main: debug.Module{Version: "v1.2.3-rc.1"}},
		"amqprun 0.0.9 (commit 0123abcd; go1.26.0)": {
			GoVersion: "go1.26.0", Main: debug.Module{Version: "v0.0.0-20260101000000-0123abcd"},
			Settings: []debug.BuildSetting{setting("vcs.revision", "0123abcd"),
				setting("vcs.modified", "false")},
		},
		"amqprun 0.0.9 (commit 0123abcd, modified; go1.26.0)": {
			GoVersion: "go1.26.0", Main: debug.Module{Version: "v0.0.0-20260101000000-0123abcd+dirty"},
			Settings: []debug.BuildSetting{setting("vcs.modified", "true"),
				setting("vcs.revision", "0123abcd")},
		},
	} {
		if got := versionLine("0.0.9", &info); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
