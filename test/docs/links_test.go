package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// pages are all documents that a reader may come to.
func pages(t *testing.T) (names []string) {
	t.Helper()
	for _, pattern := range []string{"*.md", "*/*.md", "*/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range found {
			name, err := filepath.Rel(root, file)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, name)
		}
	}
	if len(names) < 20 {
		t.Fatalf("only %d pages found", len(names))
	}
	return names
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// TestLinksLeadSomewhere follows each link to a file, and each anchor to a heading.
func TestLinksLeadSomewhere(t *testing.T) {
	for _, page := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			path, anchor, _ := strings.Cut(m[1], "#")
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
			}
			info, err := os.Stat(filepath.Join(root, target))
			switch {
			case err != nil:
				t.Errorf("%s links to %s: %v", page, m[1], err)
			case anchor != "" && (info.IsDir() || !anchors(read(t, target))[anchor]):
				t.Errorf("%s links to %s, which has no such heading", page, m[1])
			}
		}
	}
}

// anchors are those that GitHub makes of headings.
func anchors(text string) map[string]bool {
	dropped := regexp.MustCompile("[^\\p{L}\\p{N} _-]")
	all := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		all[strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}
	return all
}

// TestIndexNamesEveryPage: a page that the index does not link to is not found.
func TestIndexNamesEveryPage(t *testing.T) {
	index := read(t, "docs/README.md")
	err := fs.WalkDir(os.DirFS(filepath.Join(root, "docs")), ".",
		func(path string, _ fs.DirEntry, err error) error {
			if filepath.Ext(path) == ".md" && path != "README.md" &&
				!strings.Contains(index, "]("+path+")") {
				t.Errorf("docs/README.md has no link to %s", path)
			}
			return err
		})
	if err != nil {
		t.Fatal(err)
	}
}

func TestReadmeIsShort(t *testing.T) {
	if words := len(strings.Fields(read(t, "README.md"))); words > 1300 {
		t.Errorf("README.md has %d words, more than 1300", words)
	}
}

// TestURLsOfHintsExist: a page that a hint leads to is there, with its heading.
func TestURLsOfHintsExist(t *testing.T) {
	address := regexp.MustCompile(`\bManual ?\+\s*"([\w./-]+)(?:#([\w-]+))?`)
	found := 0
	for _, dir := range []string{"internal", "amqplock", "runner"} {
		err := fs.WalkDir(os.DirFS(filepath.Join(root, dir)), ".",
			func(path string, entry fs.DirEntry, err error) error {
				if err != nil || entry.IsDir() {
					return err
				}
				source := read(t, filepath.Join(dir, path))
				for _, m := range address.FindAllStringSubmatch(source, -1) {
					found++
					text, err := os.ReadFile(filepath.Join(root, "docs", m[1]))
					if err != nil || m[2] != "" && !anchors(string(text))[m[2]] {
						t.Errorf("%s leads to %s: no such page or heading: %v", path, m[0], err)
					}
				}
				return nil
			})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found < 5 {
		t.Errorf("only %d addresses found", found)
	}
}

// TestNamedTestsExist: the pages name the test of each promise.
func TestNamedTestsExist(t *testing.T) {
	test, named := regexp.MustCompile(`(?m)^func (Test\w+)\(`), regexp.MustCompile("`(Test[A-Z]\\w+)`")
	all := map[string]bool{}
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.go") {
			for _, m := range test.FindAllStringSubmatch(read(t, path), -1) {
				all[m[1]] = true
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages(t) {
		for _, m := range named.FindAllStringSubmatch(read(t, page), -1) {
			if !all[m[1]] {
				t.Errorf("%s names %s, which is no test", page, m[1])
			}
		}
	}
}
