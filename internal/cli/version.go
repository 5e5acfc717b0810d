package cli

import (
	"runtime/debug"
	"strings"
)

// versionLine is what --version prints: the version, the commit if it is known, and the
// version of Go. A build without -buildvcs, outside a clone or in a worktree of git has
// no commit.
func versionLine(version string, info *debug.BuildInfo) string {
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	commit := settings["vcs.revision"]
	if tag, ok := strings.CutPrefix(info.Main.Version, "v"); ok && commit == "" {
		version = tag // go install amqprun@version
	}
	built := info.GoVersion
	if commit != "" {
		if settings["vcs.modified"] == "true" {
			commit += ", modified"
		}
		built = "commit " + commit + "; " + built
	}
	return "amqprun " + version + " (" + built + ")"
}
