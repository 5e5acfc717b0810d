package cli

import "embed"

//go:embed usage/*.txt
var usageTexts embed.FS

// usage is what --help prints for a subcommand; "" is none.
func usage(sub string) string {
	parts := []string{sub, "broker", "common", "manual"}
	switch sub {
	case "":
		parts = []string{"run", "broker", "common", "exit", "manual"}
	case "release": // asks a process on this machine
		parts = []string{sub, "common", "manual"}
	}
	text := ""
	for _, part := range parts {
		section, _ := usageTexts.ReadFile("usage/" + part + ".txt")
		text += string(section)
	}
	return text
}
