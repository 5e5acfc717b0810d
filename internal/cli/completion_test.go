package cli

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// completers ask a real shell what may stand at the end of a command line; each is a
// script whose first argument is the line. The program "neighbour" has a completion of
// its own.
var completers = map[string][]string{
	"bash": {"bash", "--norc", "--noprofile", "-c", `
		source /usr/share/bash-completion/bash_completion
		source scripts/completions/amqprun.bash
		complete -W "alpha beta" neighbour
		read -r -a COMP_WORDS <<<"${1//=/ = }"
		[[ $1 != *" " ]] || COMP_WORDS+=("")
		COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_LINE=$1 COMP_POINT=${#1}
		_amqprun 2>/dev/null
		printf "%s\n" "${COMPREPLY[@]}"`, "-"},
	"fish": {"fish", "--no-config", "-c", `
		source scripts/completions/amqprun.fish
		complete -c neighbour -f -a "alpha beta"
		complete -C $argv[1] | string replace -r "\t.*" ""`},
	// The script prints what the shell's own compadd would add, between two marks.
	"zsh": {"zsh", "-f", "-c", `
		zmodload zsh/zpty
		zpty z zsh -f -i
		ask() { zpty -w z "$1"; zpty -r z answer "*ready<$2>*" }
		ask 'unsetopt prompt_cr prompt_sp; PROMPT=; stty -echo columns 1000; TERM=dumb
			echo "ready<"1">"' 1
		ask 'fpath=($PWD/scripts/completions $fpath); autoload -Uz compinit
			compinit -u -d $ZDUMP; echo "ready<"2">"' 2
		ask '_neighbour() { compadd alpha beta }; compdef _neighbour neighbour; echo "ready<"3">"' 3
		ask 'compadd() { if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then builtin compadd "$@"; return; fi
			local -a hits; builtin compadd -A hits "$@"; (( $#hits )) || return 1
			print -rl -- "hit<"$^hits">" }; echo "ready<"4">"' 4
		ask 'finish() { zle complete-word; print "ready<"5">"; BUFFER= }
			zle -N finish; bindkey "^T" finish; echo "ready<"6">"' 6
		zpty -n -w z "$1"$'\x14'
		zpty -r z answer "*ready<5>*"
		print -r -- "$answer"`, "-"},
}

var zshHit = regexp.MustCompile(`hit<([^>\r\n]*)>`)

// completions are what shell offers at the end of line.
func completions(t *testing.T, shell, line string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	command := append(slices.Clone(completers[shell]), line)
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "TERM=dumb", "HOME="+t.TempDir(), "XDG_CONFIG_HOME=",
		"XDG_DATA_HOME=")
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) { // 1: fish has nothing to offer
		t.Fatalf("%s: %v", shell, err)
	}
	words := strings.Split(string(out), "\n")
	if shell == "zsh" {
		words = words[:0]
		for _, hit := range zshHit.FindAllStringSubmatch(string(out), -1) {
			words = append(words, hit[1])
		}
	}
	for i := range words {
		words[i] = strings.TrimSuffix(strings.TrimSpace(words[i]), "=")
	}
	slices.Sort(words)
	return slices.DeleteFunc(slices.Compact(words), func(w string) bool { return w == "" })
}

func inCompleters(t *testing.T, test func(t *testing.T, shell string)) {
	t.Helper()
	// Or zsh looks at all its functions again for each line.
	t.Setenv("ZDUMP", filepath.Join(t.TempDir(), "zcompdump"))
	for shell := range completers {
		t.Run(shell, func(t *testing.T) {
			_, err := exec.LookPath(shell)
			if shell == "bash" && err == nil {
				_, err = os.Stat("/usr/share/bash-completion/bash_completion")
			}
			if err != nil {
				t.Skip("not installed (make test-tools):", err)
			}
			test(t, shell)
		})
	}
}

// TestCompletionOfOptions compares what the shells offer with the options there are, for
// each subcommand and none.
func TestCompletionOfOptions(t *testing.T) {
	inCompleters(t, func(t *testing.T, shell string) {
		for sub, names := range optionNames() {
			line := strings.TrimSpace("amqprun "+sub) + " -"
			if got := completions(t, shell, line); !slices.Equal(got, names) {
				t.Errorf("%q offers\n%q, want\n%q", line, got, names)
			}
		}
	})
}

func TestCompletion(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	inCompleters(t, func(t *testing.T, shell string) {
		for _, c := range []struct {
			line        string
			want, never string // words
		}{
			{line: "amqprun chan", want: "change"},
			{line: "amqprun --mutex m chan", never: "change"},
			{line: "amqprun --mutex m --orphans ", want: "leave wait kill", never: "alpha"},
			{line: "amqprun --mutex m --log-format ", want: "text json"},
			{line: "amqprun status --log-format j", want: "json", never: "text"},
			{line: "amqprun --mutex m -s TER", want: "TERM", never: "HUP"},
			{line: "amqprun --mutex m neighbour ", want: "alpha beta", never: "--mutex"},
			{line: "amqprun --mutex m -n -- neighbour a", want: "alpha", never: "beta"},
			{line: "amqprun -w 5 --mutex=m neighbour ", want: "alpha beta"},
			{line: "amqprun --semaphore neighbour --slots 3 neighbour ", want: "alpha beta"},
			{line: "amqprun --mutex m neighbour -", never: "--mutex -n --report"},
			{line: "amqprun --mutex m -- ech", want: "echo"},
			{line: "amqprun --mutex m ech", want: "echo"},
			{line: "amqprun --mutex m change -", never: "--to --drain"},
			{line: "amqprun --mutex ", never: "leave change file"},
		} {
			got := completions(t, shell, c.line)
			for _, word := range strings.Fields(c.want) {
				if !slices.Contains(got, word) {
					t.Errorf("%q does not offer %s: %q", c.line, word, got)
				}
			}
			for _, word := range strings.Fields(c.never) {
				if slices.Contains(got, word) {
					t.Errorf("%q offers %s", c.line, word)
				}
			}
		}
		for _, option := range []string{"--report", "--cacert", "--url-file"} {
			line := "amqprun --mutex m " + option + " " + dir + "/fi"
			got := completions(t, shell, line)
			if !slices.ContainsFunc(got, func(w string) bool { return filepath.Base(w) == "file" }) {
				t.Errorf("%q offers %q", line, got)
			}
		}
	})
}

// TestCompletionOfLocks: their names come from status, where a broker is configured.
func TestCompletionOfLocks(t *testing.T) {
	const status = "#!/bin/sh\n" + `[ "$1 $2" = "status --json" ] &&
		echo '{"version":1,"locks":[{"version":1,"kind":"mutex","name":"nightly"},' \
			'{"version":1,"kind":"semaphore","name":"builds"}]}'` + "\n"
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "amqprun"), []byte(status), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	inCompleters(t, func(t *testing.T, shell string) {
		for _, url := range []string{"", "amqp://rabbit.example/"} {
			t.Setenv("AMQPRUN_URL", url)
			t.Setenv("AMQP_URL", "")
			for line, want := range map[string]string{
				"amqprun --mutex ": "nightly", "amqprun status --semaphore b": "builds",
			} {
				got := completions(t, shell, line)
				if slices.Contains(got, want) != (url != "") {
					t.Errorf("with the URL %q %q offers %q", url, line, got)
				}
			}
		}
	})
}
