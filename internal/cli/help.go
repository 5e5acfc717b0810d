package cli

import "embed"

//go:embed usage/*.txt
var usageTexts embed.FS

// usage is what --help prints for a subcommand; "" is none.
func usage(sub string) string {
	parts := []string{sub, "common"}
	if sub == "" {
		parts = []string{"run", "common", "exit"}
	}
	text := ""
	for _, part := range parts {
		section, _ := usageTexts.ReadFile("usage/" + part + ".txt")
		text += string(section)
	}
	return text
}
