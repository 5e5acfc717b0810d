package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// root is the repository.
var root = filepath.Join("..", "..")

const howTo = "docs/how-to/"

// read returns the text of a file; path is absolute, or that in the repository.
func read(t *testing.T, path string) string {
	t.Helper()
	if !filepath.IsAbs(path) {
		path = filepath.Join(root, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var fence = regexp.MustCompile("(?ms)^```([a-z]+)\n(.*?)^```$")

// blocks are the fenced blocks of a language under a heading of a page, which has at
// least one.
func blocks(t *testing.T, page, heading, language string) []string {
	t.Helper()
	_, section, found := strings.Cut(read(t, page), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("%s has no heading %q", page, heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var texts []string
	for _, m := range fence.FindAllStringSubmatch(section, -1) {
		if m[1] == language {
			texts = append(texts, m[2])
		}
	}
	if len(texts) == 0 {
		t.Fatalf("%s, %s: no block in %s", page, heading, language)
	}
	return texts
}

// TestEveryBlockIsKnown fails for a language that no test here takes from the recipes.
func TestEveryBlockIsKnown(t *testing.T) {
	known := map[string]bool{}
	for _, language := range strings.Fields("crontab ini yaml groovy make sh bash bats") {
		known[language] = true
	}
	pages, err := filepath.Glob(filepath.Join(root, "docs", "how-to", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	var all [][]string
	for _, page := range pages {
		text := read(t, filepath.Join("docs", "how-to", filepath.Base(page)))
		all = append(all, fence.FindAllStringSubmatch(text, -1)...)
	}
	if len(all) < 12 {
		t.Errorf("only %d blocks found", len(all))
	}
	for _, m := range all {
		if !known[m[1]] {
			t.Errorf("nothing tests blocks in %s:\n%s", m[1], m[2])
		}
	}
}
