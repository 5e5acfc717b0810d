package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/runner"
)

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90": 90 * time.Second, "1.5": 1500 * time.Millisecond, "90s": 90 * time.Second, "5m": 5 * time.Minute,
		"1h30m": 90 * time.Minute, "0": 0, "0s": 0, ".5": 500 * time.Millisecond, "+2": 2 * time.Second,
	} {
		var d time.Duration
		if err := (duration{d: &d}).Set(text); err != nil || d != want {
			t.Errorf("%q is %v, %v; want %v", text, d, err, want)
		}
	}
	for _, text := range []string{"", " ", "x", "-1", "-1s", "5 m", "5x", "1e300", "inf", "-inf", "nan", "9223372037", "1,5", "m"} {
		d := time.Minute
		if err := (duration{d: &d}).Set(text); err == nil || d != time.Minute {
			t.Errorf("%q is accepted as %v", text, d)
		}
	}
	var d time.Duration
	if err := (duration{&d, true}).Set("0"); err == nil {
		t.Error("0 is accepted where it makes no sense")
	}
}

func TestProtectCount(t *testing.T) {
	flags := subcommands["change"].flags(new(options))
	for _, c := range []struct{ args, want string }{
		{"--semaphore s -1", "--semaphore s -- -1"},
		{"--semaphore=s -1", "--semaphore=s -- -1"},
		{"-v --semaphore s -12", "-v --semaphore s -- -12"},
		{"--semaphore s -- -1", "--semaphore s -- -1"},
		{"--semaphore s +1", "--semaphore s +1"},
		{"--semaphore -1 -2", "--semaphore -1 -- -2"}, // "-1" is the name
		{"--semaphore s -x", "--semaphore s -x"},
		{"--semaphore", "--semaphore"},
		{"", ""},
	} {
		got := protectCount(strings.Fields("amqprun "+c.args), flags)
		if want := strings.Fields("amqprun " + c.want); !slices.Equal(got, want) {
			t.Errorf("%q became %q, want %q", c.args, got, want)
		}
	}
}

// TestExitCodes pairs each kind of failure with its code, also where errors are wrapped and joined.
func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
	}{
		{&usageError{text: "x"}, 64},
		{&amqplock.Error{Kind: amqplock.ErrConfig}, 64},
		{&amqplock.Error{Kind: amqplock.ErrUnreachable}, 69},
		{&amqplock.Error{Kind: amqplock.ErrTiming}, 69},
		{&amqplock.Error{Kind: amqplock.ErrNotAcquired}, 75},
		{&amqplock.Error{Kind: amqplock.ErrLost}, 76},
		{&amqplock.Error{Kind: amqplock.ErrAccess}, 77},
		{&amqplock.Error{Kind: amqplock.ErrNotFound}, 78},
		{&amqplock.Error{Kind: amqplock.ErrNotALock}, 78},
		{&runner.StartError{Code: 126}, 126},
		{&runner.StartError{Code: 127}, 127},
		{&runner.StartError{Code: 125}, 125},
		{errors.New("something else"), 125},
	} {
		for _, err := range []error{c.err, fmt.Errorf("more: %w", c.err), errors.Join(c.err, errors.New("and this"))} {
			if got := exitCode(err); got != c.code {
				t.Errorf("%#v exits with %d, want %d", err, got, c.code)
			}
		}
	}
	// Another that lost its lock because it could not be reached has lost it.
	if got := exitCode(errors.Join(&amqplock.Error{Kind: amqplock.ErrUnreachable}, &amqplock.Error{Kind: amqplock.ErrLost})); got != 76 {
		t.Errorf("a loss among other errors exits with %d", got)
	}
}

// ownCodes reads the constants of exit.go, so that a new one cannot be forgotten.
func ownCodes(t *testing.T) map[int]bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "exit.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	codes := map[int]bool{126: true, 127: true} // from package runner
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == 1 && strings.HasPrefix(spec.Names[0].Name, "exit") {
			if value, ok := spec.Values[0].(*ast.BasicLit); ok && value.Kind == token.INT {
				code, _ := strconv.Atoi(value.Value)
				codes[code] = true
			}
		}
		return true
	})
	delete(codes, exitOK)
	delete(codes, exitSignal)
	if len(codes) < 9 {
		t.Fatalf("exit.go has only the codes %v", codes)
	}
	return codes
}

func TestReadmeAndUsageTellTheSameExitCodes(t *testing.T) {
	codes := ownCodes(t)
	for code := range codes {
		if !regexp.MustCompile(fmt.Sprintf(`\b%d\b`, code)).MatchString(usage("")) {
			t.Errorf("--help does not tell of exit status %d", code)
		}
	}
	readme, err := os.ReadFile("README.md")
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("README.md does not exist")
	}
	if err != nil {
		t.Fatal(err)
	}
	rows := map[int]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| *`?([0-9]+)`? *\\|").FindAllSubmatch(readme, -1) {
		code, _ := strconv.Atoi(string(row[1]))
		rows[code] = true
		if !codes[code] && code != exitOK {
			t.Errorf("README.md has exit status %d, exit.go has not", code)
		}
	}
	for code := range codes {
		if !rows[code] {
			t.Errorf("README.md has no row for exit status %d", code)
		}
	}
}

func TestConnectionName(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	end := fmt.Sprintf(" @%s:%d", host, os.Getpid())
	for _, c := range []struct {
		action, lock string
		command      []string
		want         string
	}{
		{"", "builds", []string{"make", "all"}, "amqprun builds: make all"},
		{"", "builds", []string{"/usr/bin/make", "-j4"}, "amqprun builds: make"},
		{"", "builds", []string{"mysql", "-psecret"}, "amqprun builds: mysql"},
		{"", "builds", []string{"deploy", "hunter2"}, "amqprun builds: deploy"},
		{"", "builds", []string{"curl", "http://u:p@host/"}, "amqprun builds: curl"},
		{"", "builds", []string{"sh", "-c", "PASSWORD=x make all"}, "amqprun builds: sh"},
		{"", "b", []string{"a\x1b[31m\n\xff"}, "amqprun b: a?[31m?\uFFFD"},
		{"change", "builds", nil, "amqprun change builds"},
		{"", strings.Repeat("é", 200), []string{"x"}, "amqprun " + strings.Repeat("é", 79) + "…"},
	} {
		if got := connectionName(c.action, c.lock, c.command); got != c.want+end {
			t.Errorf("%q is called %q, want %q", c.command, got, c.want+end)
		}
	}
}
