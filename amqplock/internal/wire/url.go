package wire

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	amqp "github.com/rabbitmq/amqp091-go"
)

const urlHint = "write it as amqp://USER:PASSWORD@HOST:PORT/VHOST, with each of : / ? # @ % in " +
	"a user, password or virtual host percent-encoded (a slash is %2F): " +
	Manual + "how-to/connecting.md"

// parseURL refuses what amqp091-go would misread in silence. The reason, not empty then,
// never quotes the URL, which holds a password.
func parseURL(raw string) (uri amqp.URI, why string) {
	if why := urlTrap(raw); why != "" {
		return uri, why
	}
	uri, err := amqp.ParseURI(raw)
	if err != nil {
		return uri, "cannot be parsed" // its reason might quote a part of the password
	}
	return uri, ""
}

// urlTrap names what is wrong with a URL, or is read in another way than it looks; it is
// empty when there is nothing.
func urlTrap(raw string) string {
	scheme, rest, found := strings.Cut(raw, "://")
	switch {
	case !found || scheme != "amqp" && scheme != "amqps":
		return "does not begin with amqp:// or amqps://"
	case strings.ContainsFunc(raw, unicode.IsSpace), strings.ContainsFunc(raw, unicode.IsControl):
		return "holds a space or a control character"
	}
	login, address, behind := split(rest)
	path, query, _ := strings.Cut(behind, "?")
	_, badEscape := url.PathUnescape(rest)
	// An unescaped "/", "?" or "#" in the password ends the host early. The rest goes
	// elsewhere.
	switch {
	case strings.Contains(behind, "@"):
		end := behind[:1]
		return fmt.Sprintf("there is a %q before an @: in a user or password it is written %%%02X, "+
			"and an @ in a virtual host %%40", end, end[0])
	case strings.Contains(rest, "#"):
		return "there is a #, which is written %23"
	case badEscape != nil:
		return "there is a % without two hexadecimal digits: where it stands for itself it is written %25"
	case strings.ContainsAny(login, "\"<>[]\\^`{|}"):
		return "the user or password holds a character that has to be percent-encoded"
	}
	if why := addressTrap(address); why != "" {
		return why
	}
	vhost := strings.TrimPrefix(path, "/")
	if vhost != "/" && strings.Contains(vhost, "/") { // "//" is how some write the virtual host "/"
		if strings.HasSuffix(vhost, "/") {
			return "the virtual host ends in a slash: leave it out, " +
				"or write %2F where it belongs to the name"
		}
		return "a slash in a virtual host is written %2F"
	}
	return queryTrap(query)
}

// split cuts what follows the scheme behind the @ of the login, and before the path,
// query or fragment.
func split(rest string) (login, address, behind string) {
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	at := strings.LastIndex(rest[:end], "@") + 1
	return rest[:at], rest[at:end], rest[end:]
}

// addressTrap looks at HOST:PORT.
func addressTrap(address string) string {
	host, port, hasPort := strings.Cut(address, ":")
	if strings.HasPrefix(address, "[") {
		host, port, hasPort = strings.Cut(address, "]")
		if !hasPort {
			return "the IPv6 address has no closing bracket"
		}
		port, hasPort = strings.CutPrefix(port, ":")
		if !hasPort && port != "" {
			return "there is something between the IPv6 address and the port"
		}
	} else if strings.Contains(port, ":") {
		return "the host has more than one port; an IPv6 address goes in brackets"
	}
	if n, err := strconv.Atoi(port); hasPort && (err != nil || n < 1 || n > 65535) {
		return "the port is no number from 1 to 65535 " +
			"(where a user and a password are meant, an @ and the host follow them)"
	}
	if strings.Contains(host, "%") && !strings.HasPrefix(host, "[") {
		return "the host holds a %"
	}
	return ""
}

// queryTrap looks at what follows the "?". Names that are not known are not repeated:
// they may be a part of a password.
func queryTrap(query string) string {
	values, err := url.ParseQuery(query)
	if err != nil {
		return "what follows the ? cannot be parsed"
	}
	for name := range values {
		switch name {
		case "cacertfile", "certfile", "keyfile", "server_name_indication":
		case "auth_mechanism":
			for _, mechanism := range values[name] {
				if !slices.Contains([]string{"plain", "amqplain", "external"}, strings.ToLower(mechanism)) {
					return "auth_mechanism is neither plain, amqplain nor external"
				}
			}
		case "heartbeat", "connection_timeout", "channel_max":
			return fmt.Sprintf(
				"the parameter %s is not accepted: there are options for what can be set", name)
		default:
			return "there is an unknown parameter: known are cacertfile, certfile, keyfile, " +
				"server_name_indication and auth_mechanism"
		}
	}
	return ""
}

// credentials reports which of user and password a URL that has no trap names; for the
// others amqp091-go takes "guest".
func credentials(raw string) (user, password bool) {
	_, rest, _ := strings.Cut(raw, "://")
	login, _, _ := split(rest)
	return login != "", strings.Contains(login, ":")
}
