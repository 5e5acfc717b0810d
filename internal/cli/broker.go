package cli

import (
	"os"
	"strings"

	"github.com/amqprun/amqprun/internal/exit"
)

func brokerOptions(o *options) []*option {
	b := &o.broker
	return []*option{
		// findBroker reads the variables of these two.
		{names: []string{"url"}, set: urlList(&b.URLs)},
		{names: []string{"url-file"}, set: nonEmpty(&o.urlFile)},
		{names: []string{"password-file"}, set: nonEmpty(&o.passwordFile), env: "AMQPRUN_PASSWORD_FILE"},
		{names: []string{"cacert"}, set: nonEmpty(&b.CACert), env: "AMQPRUN_CACERT"},
		{names: []string{"cert"}, set: nonEmpty(&b.Cert), env: "AMQPRUN_CERT"},
		{names: []string{"key"}, set: nonEmpty(&b.Key), env: "AMQPRUN_KEY"},
		{names: []string{"connect-timeout"}, set: atLeast(&b.ConnectTimeout), env: "AMQPRUN_CONNECT_TIMEOUT"},
		{names: []string{"heartbeat"}, set: atLeast(&b.Heartbeat), env: "AMQPRUN_HEARTBEAT"},
		{names: []string{"verbose", "v"}, set: boolean(&o.messages.Verbose), env: "AMQPRUN_VERBOSE", bool: true},
		{names: []string{"log-format"}, set: logFormat(&o.messages.JSON), env: "AMQPRUN_LOG_FORMAT"},
		{names: []string{"quiet", "q"}, set: boolean(&o.messages.Quiet), env: "AMQPRUN_QUIET", bool: true},
		{names: []string{"help", "h"}, set: boolean(&o.help), bool: true},
	}
}

// findBroker fills in where the brokers are. --url or --url-file win over AMQPRUN_URL,
// AMQPRUN_URL_FILE and AMQP_URL, of which the first that is set counts.
func findBroker(o *options) error {
	urls, file := o.broker.URLs, o.urlFile
	if len(urls) > 0 && file != "" {
		return exit.Usagef("--url and --url-file exclude each other")
	}
	if len(urls) == 0 && file == "" {
		urls, file = splitURLs(os.Getenv("AMQPRUN_URL")), os.Getenv("AMQPRUN_URL_FILE")
	}
	switch {
	case len(urls) == 0 && file != "":
		text, err := readSecret("URL file", file)
		if err != nil {
			return err
		}
		if urls = urlLines(text); len(urls) == 0 {
			return exit.Usagef("URL file %s: there is no URL in it", file)
		}
	case len(urls) == 0:
		urls = splitURLs(os.Getenv("AMQP_URL"))
	}
	o.broker.URLs = urls
	if o.passwordFile == "" {
		return nil
	}
	text, err := readSecret("password file", o.passwordFile)
	if err != nil {
		return err
	}
	if o.broker.Password = strings.TrimRight(text, "\r\n"); o.broker.Password == "" {
		return exit.Usagef("password file %s: it is empty", o.passwordFile)
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
