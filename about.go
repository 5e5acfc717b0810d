package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/user"
	"regexp"
	"strconv"
	"strings"

	"github.com/amqprun/amqprun/amqplock"
)

// What this run tells of itself is carried in one message, and there may be a thousand of them.
const (
	maxShownCommand = 1000 // bytes
	maxMetadata     = 4000
)

// about is what status shows of this run. It is worked out when somebody may ask, not before.
func (o *options) about() amqplock.About {
	host, _ := os.Hostname()
	return amqplock.About{
		ID: o.id, Host: host, PID: os.Getpid(), User: userName(),
		Command: shown(o.command, o.hideCommand), Job: jobURL(os.Getenv), Metadata: o.metadata,
	}
}

func userName() string {
	u, err := user.Current()
	if err != nil {
		return strconv.Itoa(os.Getuid())
	}
	return u.Username
}

// whoAmI is the same for people.
func whoAmI() string {
	host, _ := os.Hostname()
	return userName() + "@" + host
}

// shown is a command as others may see it: quoted for a shell where need be, cut, and without the passwords of URLs; hidden is without
// all arguments.
func shown(command []string, hidden bool) string {
	if hidden {
		command = command[:1]
	}
	plain := regexp.MustCompile(`^[\w@%+=:,./*-]+$`)
	words := make([]string, len(command))
	for i, word := range command {
		word = withoutPasswords(word)
		if words[i] = word; !plain.MatchString(word) {
			words[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
	}
	text := strings.Join(words, " ")
	if len(text) > maxShownCommand {
		text = strings.ToValidUTF8(text[:maxShownCommand], "") + "..."
	}
	return text
}

// jobURL is where a CI system shows the job that we are a part of, or "".
func jobURL(getenv func(string) string) string {
	if run := getenv("GITHUB_RUN_ID"); run != "" {
		return fmt.Sprintf("%s/%s/actions/runs/%s", cmp.Or(getenv("GITHUB_SERVER_URL"), "https://github.com"), getenv("GITHUB_REPOSITORY"), run)
	}
	if build, job := getenv("BUILDKITE_BUILD_URL"), getenv("BUILDKITE_JOB_ID"); build != "" && job != "" {
		return build + "#" + job
	}
	return cmp.Or(getenv("CI_JOB_URL"), getenv("BUILDKITE_BUILD_URL"), getenv("BUILD_URL")) // GitLab, Buildkite, Jenkins
}

// metadataValue collects K=V.
type metadataValue struct{ m *map[string]string }

func (v metadataValue) String() string { return "" }

func (v metadataValue) Set(text string) error {
	key, value, ok := strings.Cut(text, "=")
	if !ok || key == "" {
		return errors.New("not of the form K=V")
	}
	if *v.m == nil {
		*v.m = map[string]string{}
	}
	if _, twice := (*v.m)[key]; twice {
		return fmt.Errorf("%q is given twice", key)
	}
	(*v.m)[key] = value
	size := 0
	for key, value := range *v.m {
		size += len(key) + len(value)
	}
	if size > maxMetadata {
		return fmt.Errorf("more than %d bytes in all", maxMetadata)
	}
	return nil
}
