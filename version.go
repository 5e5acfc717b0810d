package main

import (
	"runtime/debug"
	"strings"
)

// version is that of the newest section of CHANGELOG.md. The build of a release may set it: -ldflags '-X main.version=1.2.3'.
var version = "0.1.0"

// versionLine is what --version prints: the version, the commit where there was one to be known, and the version of Go.
//
// A build without -buildvcs, outside a clone or in a worktree of git has no commit.
func versionLine(info *debug.BuildInfo) string {
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	v, commit := version, settings["vcs.revision"]
	if tag, ok := strings.CutPrefix(info.Main.Version, "v"); ok && commit == "" { // go install amqprun@version
		v = tag
	}
	built := info.GoVersion
	if commit != "" {
		if settings["vcs.modified"] == "true" {
			commit += ", modified"
		}
		built = "commit " + commit + "; " + built
	}
	return "amqprun " + v + " (" + built + ")"
}
