package cli

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/amqprun/amqprun/test/program"
	"pgregory.net/rapid"
)

// awkward are words that a parser of command lines may take for its own: subcommands and
// options of amqprun and of its libraries. Shells and terminals trip over the others.
// Each is an argument, and a program in PATH.
var awkward = []string{
	"change", "destroy", "status", "help", "h", "version", "completion", "amqprun",
	"-", "--", "---", "-x", "-h", "--help", "-v", "--version", "-n", "--mutex", "--mutex=x", "-c",
	"-w", "-1", "+1", "--generate-bash-completion",
	"a b", "a\nb", "\n", "ünïcode", "日本", "\xff\xfe", "'", `"`, `\`, "$HOME", "*", "=", "A=b", "%s",
	"{}", "\t", "\x1b[31m",
}

// programs makes a directory where each awkward word is a program that prints its
// arguments.
func programs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range awkward {
		if err := os.Symlink(os.Args[0], filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// limit bounds the number of runs against the broker, unless the command line of the test
// says otherwise.
func limit(t *testing.T, checks string) {
	t.Helper()
	flag.Visit(func(f *flag.Flag) {
		if f.Name == "rapid.checks" {
			checks = f.Value.String()
		}
	})
	for name, value := range map[string]string{"rapid.checks": checks, "rapid.nofailfile": "true",
		"rapid.shrinktime": "10s"} {
		if err := flag.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCommandGetsItsArgumentsUnchanged is the promise that everything from the first word
// that is no option, or after "--", is the command.
func TestCommandGetsItsArgumentsUnchanged(t *testing.T) {
	t.Parallel()
	outer := t
	lock, dir := program.LockName(t), programs(t)
	limit(t, "40")
	env := []string{showArgs + "=1", "PATH=" + dir + ":" + os.Getenv("PATH")}
	options := [][]string{
		{"-v"}, {"--verbose"}, {"-q"}, {"-n"}, {"-w", "60"}, {"--wait=1m"}, {"-E", "3"},
		{"--heartbeat", "20"},
		{"--signal=INT"}, {"-k", "1"}, {"--orphans", "leave"}, {"--check-interval", "2s"},
	}
	word := rapid.OneOf(rapid.SampledFrom(append(slices.Clone(awkward), "")),
		rapid.String().Filter(func(s string) bool { return !strings.Contains(s, "\x00") }))
	rapid.Check(t, func(t *rapid.T) {
		args := append([]string{}, slices.Concat(rapid.SliceOfNDistinct(rapid.SampledFrom(options), 0, 3,
			func(o []string) string { return strings.TrimLeft(o[0], "-")[:1] }).Draw(t, "options")...)...)
		at := rapid.IntRange(0, 1).Draw(t, "lock first")
		args = [][]string{append(args, "--mutex", lock), append([]string{"--mutex=" + lock}, args...)}[at]
		if slices.Contains(args, "-n") && (slices.Contains(args, "-w") ||
			slices.Contains(args, "--wait=1m")) {
			t.Skip("they exclude each other")
		}
		command := append([]string{rapid.SampledFrom(awkward).Draw(t, "command")},
			rapid.SliceOfN(word, 0, 5).Draw(t, "arguments")...)
		if strings.HasPrefix(command[0], "-") && command[0] != "-" || rapid.Bool().Draw(t, "--") {
			args = append(args, "--")
		}
		args = append(args, command...)
		got := program.Run(outer, env, args...)
		if want := strings.Join(command, "\x00") + "\x00"; got.Code != 0 || got.Stdout != want {
			t.Fatalf("amqprun %q\nstatus %d\ngot  %q\nwant %q\n%s", args, got.Code, got.Stdout, want,
				got.Stderr)
		}
	})
}

// TestEveryAwkwardWord leaves nothing to chance: the property above draws each word only
// now and then. Here each is the command, and the last word without "--" anywhere.
func TestEveryAwkwardWord(t *testing.T) {
	t.Parallel()
	lock, dir := program.LockName(t), programs(t)
	env := []string{showArgs + "=1", "PATH=" + dir + ":" + os.Getenv("PATH")}
	check := func(command []string, options ...string) {
		got := program.Run(t, env, append(options, command...)...)
		if want := strings.Join(command, "\x00") + "\x00"; got.Code != 0 || got.Stdout != want ||
			got.Stderr != "" {
			t.Errorf("amqprun %q %q: status %d\ngot  %q\nwant %q\n%s", options, command, got.Code,
				got.Stdout, want, got.Stderr)
		}
	}
	for _, word := range awkward {
		check([]string{word, word, "", word}, "--mutex", lock, "--")
		check([]string{"amqprun", word}, "--mutex", lock)
		if word == "-" || !strings.HasPrefix(word, "-") {
			check([]string{word}, "--mutex", lock)
		}
	}
}
