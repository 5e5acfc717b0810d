package job

import (
	"cmp"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"

	"al.essio.dev/pkg/shellescape"
	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/internal/secret"
)

// maxShownCommand bounds what status shows of a command, in bytes. One message carries
// all that a run publishes, and there may be a thousand runs.
const maxShownCommand = 1000

// about is what status shows of this run.
func about(s Spec) amqplock.About {
	host, _ := os.Hostname()
	return amqplock.About{
		ID: s.ID, Host: host, PID: os.Getpid(), User: userName(),
		Command: s.Shown, Job: jobURL(os.Getenv), Metadata: s.Metadata,
	}
}

func userName() string {
	u, err := user.Current()
	if err != nil {
		return strconv.Itoa(os.Getuid())
	}
	return u.Username
}

// WhoAmI is the user and the host, for messages at the other end.
func WhoAmI() string {
	host, _ := os.Hostname()
	return userName() + "@" + host
}

// Shown is what others see of a command, in status and in the name of the connection. It
// is the name of the program, because an argument may be a password. Arguments are quoted
// for a shell and cut, and the passwords of URLs are missing.
func Shown(command []string, arguments bool) string {
	if !arguments {
		command = []string{filepath.Base(command[0])}
	}
	text := secret.Redact(shellescape.QuoteCommand(command))
	if len(text) > maxShownCommand {
		text = strings.ToValidUTF8(text[:maxShownCommand], "") + "..."
	}
	return text
}

// jobURL is where a CI system shows the job that we are a part of, or empty.
func jobURL(getenv func(string) string) string {
	if run := getenv("GITHUB_RUN_ID"); run != "" {
		server := cmp.Or(getenv("GITHUB_SERVER_URL"), "https://github.com")
		return fmt.Sprintf("%s/%s/actions/runs/%s", server, getenv("GITHUB_REPOSITORY"), run)
	}
	if build, job := getenv("BUILDKITE_BUILD_URL"), getenv("BUILDKITE_JOB_ID"); build != "" &&
		job != "" {
		return build + "#" + job
	}
	// GitLab, Buildkite, Jenkins
	return cmp.Or(getenv("CI_JOB_URL"), getenv("BUILDKITE_BUILD_URL"), getenv("BUILD_URL"))
}

// ConnectionName says what a connection is for to those who look at the broker's
// connections.
func ConnectionName(what string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("amqprun %s @%s:%d", printable(what, maxWhat), printable(host, maxHost),
		os.Getpid())
}

// The management UI can show so much in a column.
const (
	maxWhat = 80
	maxHost = 64
)

// printable replaces what a terminal could take for a command, and cuts.
func printable(text string, most int) string {
	runes := []rune(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text))
	if len(runes) > most {
		runes = append(runes[:most-1], '…')
	}
	return string(runes)
}
