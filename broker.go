package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"unicode"

	"github.com/urfave/cli/v2"
)

// urlList are URLs with white space between them, which no URL holds, also of an option that is given more than once.
type urlList struct{ urls *[]string }

func (v urlList) String() string { return "" }

// Set never fails on a value that it has to repeat: it may hold a password.
func (v urlList) Set(text string) error {
	urls := splitURLs(text)
	if len(urls) == 0 {
		return errors.New("has an empty value; without the option the broker is that of AMQPRUN_URL")
	}
	*v.urls = append(*v.urls, urls...)
	return nil
}

// splitURLs leaves a URL whole that a space in its password would tear: that is its error, and not that of what comes behind.
func splitURLs(text string) (urls []string) {
	for i, word := range strings.Fields(text) {
		if i > 0 && !strings.Contains(word, "://") {
			urls[len(urls)-1] += " " + word
		} else {
			urls = append(urls, word)
		}
	}
	return urls
}

// parseBroker fills in where the brokers are: --url or --url-file, or AMQPRUN_URL, AMQPRUN_URL_FILE, AMQP_URL, the first that is there.
func (o *options) parseBroker(c *cli.Context) error {
	urls, file := o.lock.URLs, o.urlFile
	switch {
	case len(urls) > 0 && file != "":
		return &usageError{text: "--url and --url-file exclude each other"}
	case c.IsSet("url-file") && file == "":
		return &usageError{text: "option --url-file has an empty value"}
	case len(urls) == 0 && file == "":
		urls = splitURLs(os.Getenv("AMQPRUN_URL"))
		file = os.Getenv("AMQPRUN_URL_FILE")
	}
	switch {
	case len(urls) == 0 && file != "":
		text, err := readSecret("URL file", file)
		if err != nil {
			return err
		}
		if urls = urlLines(text); len(urls) == 0 {
			return &usageError{text: fmt.Sprintf("URL file %s: there is no URL in it", file)}
		}
	case len(urls) == 0:
		urls = splitURLs(os.Getenv("AMQP_URL"))
	}
	o.lock.URLs = urls
	if o.passwordFile != "" {
		text, err := readSecret("password file", o.passwordFile)
		if err != nil {
			return err
		}
		if o.lock.Password = strings.TrimRight(text, "\r\n"); o.lock.Password == "" {
			return &usageError{text: fmt.Sprintf("password file %s: it is empty", o.passwordFile)}
		}
	}
	return nil
}

// urlLines are the lines that are neither empty nor a comment.
func urlLines(text string) (urls []string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			urls = append(urls, line)
		}
	}
	return urls
}

// maxSecret is far more than URLs and passwords need: what is longer is another file.
const maxSecret = 64 << 10

// readSecret reads a file that holds a password. Like ssh with its keys it refuses a file of our own that others may read; of what belongs
// to somebody else, its owner has decided.
func readSecret(what, name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", &usageError{text: fmt.Sprintf("%s: %v", what, err)}
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return "", &usageError{text: fmt.Sprintf("%s: %v", what, err)}
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && info.Mode().IsRegular() && int(stat.Uid) == os.Geteuid() && info.Mode().Perm()&0o077 != 0 {
		return "", &usageError{
			text: fmt.Sprintf("%s %s: others may read or write it (mode %04o)", what, name, info.Mode().Perm()),
			hint: "it holds a password: chmod 600 " + name,
		}
	}
	data, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	switch {
	case err != nil:
		return "", &usageError{text: fmt.Sprintf("%s: %v", what, err)}
	case len(data) > maxSecret:
		return "", &usageError{text: fmt.Sprintf("%s %s: is longer than %d bytes", what, name, maxSecret)}
	}
	return string(bytes.TrimPrefix(data, []byte("\uFEFF"))), nil
}

// connectionName says to those who look at the broker's connections whose this one is. Of the command it tells the program, and its first
// argument if that looks like a word: the rest may be a password.
func connectionName(action, lock string, command []string) string {
	what := lock
	if action != "" {
		what = action + " " + lock
	}
	if len(command) > 0 {
		what += ": " + filepath.Base(command[0])
		if len(command) > 1 && regexp.MustCompile(`^[a-z][a-z-]{0,19}$`).MatchString(command[1]) {
			what += " " + command[1]
		}
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("amqprun %s @%s:%d", printable(what, maxWhat), printable(host, maxHost), os.Getpid())
}

// What the management UI can show in a column.
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
