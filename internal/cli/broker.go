package cli

import (
	"os"
	"strings"

	"github.com/amqprun/amqprun/internal/exit"
)

func brokerOptions(o *options) []*option {
	b := &o.Broker
	return append([]*option{
		// findBroker reads the variables of these two.
		value("url", &b.URLs, urlList()),
		value("url-file", &o.urlFile, nonEmpty),
		value("password-file", &o.passwordFile, nonEmpty).orVariable(),
		value("cacert", &b.CACert, nonEmpty).orVariable(),
		value("cert", &b.Cert, nonEmpty).orVariable(),
		value("key", &b.Key, nonEmpty).orVariable(),
		value("connect-timeout", &b.ConnectTimeout, atLeast).orVariable(),
		value("heartbeat", &b.Heartbeat, atLeast).orVariable(),
	}, messageOptions(o)...)
}

// messageOptions are those of every subcommand.
func messageOptions(o *options) []*option {
	return []*option{
		toggle("verbose v", &o.messages.Verbose).orVariable(),
		value("log-format", &o.messages.JSON, logFormat).orVariable(),
		toggle("quiet q", &o.messages.Quiet).orVariable(),
		toggle("help h", &o.help),
	}
}

// findBroker fills in where the brokers are. --url or --url-file win over AMQPRUN_URL,
// AMQPRUN_URL_FILE and AMQP_URL, of which the first that is set counts.
func findBroker(o *options) error {
	urls, file := o.Broker.URLs, o.urlFile
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
	o.Broker.URLs = urls
	if o.passwordFile == "" {
		return nil
	}
	text, err := readSecret("password file", o.passwordFile)
	if err != nil {
		return err
	}
	if o.Broker.Password = strings.TrimRight(text, "\r\n"); o.Broker.Password == "" {
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
