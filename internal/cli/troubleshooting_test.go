package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// inPrograms calls see for every node of every file of ours that is no test.
func inPrograms(t *testing.T, see func(path string, n ast.Node)) {
	t.Helper()
	for _, dir := range []string{"internal", "amqplock", "runner"} {
		err := fs.WalkDir(os.DirFS(root), dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, path), nil, 0)
			if err == nil {
				ast.Inspect(file, func(n ast.Node) bool { see(path, n); return true })
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// literals are the strings within a piece of code. Those that are added up are one.
func literals(n ast.Node) (texts []string) {
	ast.Inspect(n, func(n ast.Node) bool {
		expression, ok := n.(ast.Expr)
		if !ok {
			return true
		}
		text, ok := folded(expression)
		if ok {
			texts = append(texts, text)
		}
		return !ok
	})
	return texts
}

func folded(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		left, ok := folded(e.X)
		right, both := folded(e.Y)
		return left + right, ok && both
	}
	return "", false
}

var verb = regexp.MustCompile(`%[-+#0-9.]*[a-zA-Z]`)

// fixed is the longest part of a message that is always the same.
func fixed(message string, variable *regexp.Regexp) string {
	longest := ""
	for _, part := range variable.Split(message, -1) {
		if len(part) > len(longest) {
			longest = part
		}
	}
	return longest
}

// TestTroubleshootingQuotesTheProgram: what the page quotes is said by the program.
func TestTroubleshootingQuotesTheProgram(t *testing.T) {
	t.Parallel()
	// Not ours: what the operating system and the broker say.
	foreign := []string{"connection refused", "no such host", "i/o timeout", "ACCESS_REFUSED"}
	var said []string
	inPrograms(t, func(_ string, n ast.Node) {
		if file, ok := n.(*ast.File); ok {
			said = append(said, literals(file)...)
		}
	})
	all := strings.Join(said, "\n")
	row := regexp.MustCompile("(?m)^- `([^`]+)`")
	quotes := row.FindAllStringSubmatch(troubleshooting(t), -1)
	if len(quotes) < 30 {
		t.Fatalf("only %d messages are quoted", len(quotes))
	}
	for _, quote := range quotes {
		for part := range strings.SplitSeq(quote[1], "…") {
			part = strings.Trim(part, " :;()")
			// An error text is put together of pieces, each of which is somewhere.
			for piece := range strings.SplitSeq(part, ": ") {
				if !strings.Contains(all, piece) && !slices.Contains(foreign, piece) {
					t.Errorf("nothing says %q, of %q", piece, quote[1])
				}
			}
		}
	}
}

// TestTroubleshootingIsComplete: what the program says of brokers and locks, and every
// warning, is on the page. Complaints about the command line speak for themselves, and
// doctor says what to do.
func TestTroubleshootingIsComplete(t *testing.T) {
	t.Parallel()
	page := troubleshooting(t)
	checked := 0
	check := func(path string, n ast.Node) {
		for _, text := range literals(n) {
			part := strings.Trim(fixed(text, verb), " :;()")
			if len(part) < 8 {
				continue
			}
			checked++
			if !strings.Contains(page, part) {
				t.Errorf("%s says %q, docs/how-to/troubleshooting.md does not", path, text)
			}
		}
	}
	inPrograms(t, func(path string, n ast.Node) {
		switch n := n.(type) {
		case *ast.KeyValueExpr:
			key, ok := n.Key.(*ast.Ident)
			file, ours := strings.CutPrefix(path, "amqplock/internal/")
			if ok && ours && key.Name == "Text" && !strings.HasPrefix(file, "doctor/") {
				check(path, n.Value)
			}
		case *ast.CallExpr:
			f, ok := n.Fun.(*ast.SelectorExpr)
			if ok && strings.EqualFold(f.Sel.Name, "warnf") && len(n.Args) > 0 {
				check(path, n.Args[0])
			}
		}
	})
	if checked < 20 {
		t.Errorf("only %d messages found in the program", checked)
	}
}

func troubleshooting(t *testing.T) string {
	t.Helper()
	return readDocument(t, "docs/how-to/troubleshooting.md")
}
