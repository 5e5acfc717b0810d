package wire

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
)

func TestParseURL(t *testing.T) {
	for raw, want := range map[string]struct{ user, password, host, vhost string }{
		"amqp://":                                  {"guest", "guest", "localhost", "/"},
		"amqp:///":                                 {"guest", "guest", "localhost", "/"},
		"amqp://host":                              {"guest", "guest", "host", "/"},
		"amqp://host/":                             {"guest", "guest", "host", "/"},
		"amqp://host//":                            {"guest", "guest", "host", "/"},
		"amqp://host/%2F":                          {"guest", "guest", "host", "/"},
		"amqp://host/%2f":                          {"guest", "guest", "host", "/"},
		"amqp://host/%252F":                        {"guest", "guest", "host", "%2F"},
		"amqp://host/a%2Fb":                        {"guest", "guest", "host", "a/b"},
		"amqp://host/a%40b":                        {"guest", "guest", "host", "a@b"},
		"amqp:///v":                                {"guest", "guest", "localhost", "v"},
		"amqps://u:p@host:5671/vhost":              {"u", "p", "host", "vhost"},
		"amqp://u:p%2Fw@[::1]:5672/%2F":            {"u", "p/w", "::1", "/"},
		"amqp://[::1]":                             {"guest", "guest", "::1", "/"},
		"amqp://u:%2F%3F%23%40%3A%25@host/":        {"u", "/?#@:%", "host", "/"},
		"amqp://u:a:b@host/":                       {"u", "a:b", "host", "/"}, // unambiguous
		"amqp://u:a@b@host/":                       {"u", "a@b", "host", "/"},
		"amqp://u%40corp:p@host/":                  {"u@corp", "p", "host", "/"},
		"amqp://u:@host/":                          {"u", "", "host", "/"},
		"amqps://host/?server_name_indication=x.y": {"guest", "guest", "host", "/"},
	} {
		uri, why := parseURL(raw)
		if why != "" || uri.Username != want.user || uri.Password != want.password ||
			uri.Host != want.host ||
			uri.Vhost != want.vhost {
			t.Errorf("parseURL(%q) = %+v, %q", raw, uri, why)
		}
		if again, why := parseURL(label(uri)); why != "" || again.Vhost != want.vhost {
			t.Errorf("%q is shown as %q, which is read as %+v, %q", raw, label(uri), again, why)
		}
	}
}

// TestURLTraps: the error names what is wrong with a URL, and shows no password.
func TestURLTraps(t *testing.T) {
	const secret = "sEcReT"
	for _, test := range []struct{ url, want string }{
		{"", "does not begin with amqp:// or amqps://"},
		{"localhost:5672", "does not begin with"},
		{"amqp:/host:9/", "does not begin with"},
		{"amqp:host:9", "does not begin with"},
		{"http://u:" + secret + "@host/", "does not begin with"},
		{"AMQP://host/", "does not begin with"},
		{"amqp://ho st/", "holds a space"},
		{"amqp://u:" + secret + "\x01@host/", "a control character"},
		// "u" would be contacted. In the second the port parses too.
		{
			"amqp://u:" + secret + "/w@host/",
			`there is a "/" before an @: in a user or password it is written %2F`,
		},
		{"amqp://u:1/" + secret + "@host/", `"/" before an @`},
		{
			"amqp://u:1?" + secret + "@host/",
			`there is a "?" before an @: in a user or password it is written %3F`,
		},
		{
			"amqp://u:1#" + secret + "@host/",
			`there is a "#" before an @: in a user or password it is written %23`,
		},
		{"amqp://u:p@ss/" + secret + "@host/", `"/" before an @`},
		{"amqp://u:p@host/a@b", "an @ in a virtual host %40"},
		{"amqp://u:p@host/a#b", "there is a #, which is written %23"},
		{
			"amqp://u:" + secret + "%zz@host/",
			"there is a % without two hexadecimal digits: where it stands for itself it is written %25",
		},
		{"amqp://u:" + secret + "%@host/", "there is a % without"},
		{"amqp://u:p@host/100%", "there is a % without"},
		{
			"amqp://u:" + secret + "[@host/",
			"the user or password holds a character that has to be percent-encoded",
		},
		{
			"amqp://u:" + secret, "the port is no number from 1 to 65535 " +
				"(where a user and a password are meant, an @ and the host follow them)",
		},
		{"amqp://u:" + secret + "@host:port/", "the port is no number"},
		{"amqp://host:0/", "the port is no number"},
		{"amqp://host:/", "the port is no number"},
		{"amqp://host:99999/", "the port is no number"},
		{"amqp://127.0.0.1:9:5/", "an IPv6 address goes in brackets"},
		{"amqp://::1/", "an IPv6 address goes in brackets"},
		{"amqp://[::1/", "no closing bracket"},
		{"amqp://[::1]9/", "something between the IPv6 address and the port"},
		{"amqp://[::x]/", "cannot be parsed"},
		{"amqp://a%20b/", "the host holds a %"},
		{"amqp://host/vhost/", "the virtual host ends in a slash: leave it out, or write %2F"},
		{"amqp://host/a/b", "a slash in a virtual host is written %2F"},
		{"amqp://host/?heartbeat=0", "the parameter heartbeat is not accepted"},
		{"amqp://host/?connection_timeout=1", "the parameter connection_timeout"},
		{"amqp://host/?channel_max=1", "the parameter channel_max"},
		{"amqp://u:1?" + secret, "there is an unknown parameter"},
		{"amqp://host/?a;b", "what follows the ? cannot be parsed"},
		{"amqp://host/?auth_mechanism=magic", "neither plain, amqplain nor external"},
		{"amqp://host/?auth_mechanism=external", "external needs amqps:// and a client certificate"},
		{"amqps://host/?auth_mechanism=external", "external needs amqps:// and a client certificate"},
		{"amqp://ci@host/", `there is no password for user "ci"`},
	} {
		_, err := Broker{URLs: []string{test.url}}.Resolve()
		var e *fault.Error
		switch {
		case !errors.As(err, &e) || !errors.Is(err, fault.ErrConfig):
			t.Errorf("%q: got %v, want ErrConfig", test.url, err)
		case !strings.HasPrefix(e.Text, "broker URL: ") || !strings.Contains(e.Text, test.want):
			t.Errorf("%q: got %q, want %q", test.url, e.Text, test.want)
		case strings.Contains(e.Text+e.Hint, secret):
			t.Errorf("%q shows the password: %v", test.url, err)
		}
	}
}

func TestPasswordOfItsOwn(t *testing.T) {
	b, err := Broker{URLs: []string{"amqp://a@one/", "amqp://b:2@two/"}, Password: "x/y"}.Resolve()
	if err != nil || b.nodes.list[0].uri.Password != "x/y" || b.nodes.list[1].uri.Password != "2" {
		t.Errorf("got %v, %+v", err, b.nodes)
	}
	for _, urls := range [][]string{nil, {"amqp://a:b@one/"}, {"amqp://one/"}} {
		_, err := Broker{URLs: urls, Password: "x"}.Resolve()
		if !errors.Is(err, fault.ErrConfig) ||
			!strings.Contains(err.Error(), "no broker URL has a user without a password") {
			t.Errorf("%q: got %v", urls, err)
		}
	}
}

func TestBrokerNamesHaveNoCredentials(t *testing.T) {
	b := Broker{URLs: []string{"amqp://user:secret@[::1]:5673/team%2Fci", "amqps://host"}}
	if got := b.Names(); !slices.Equal(
		got,
		[]string{"amqp://[::1]:5673/team%2Fci", "amqps://host:5671"},
	) {
		t.Errorf("got %q", got)
	}
	if got := (Broker{}).Names(); !slices.Equal(got, []string{"amqp://localhost:5672"}) {
		t.Errorf("got %q", got)
	}
}

// Each of two virtual hosts would grant the lock.
func TestURLsOfTwoVirtualHosts(t *testing.T) {
	for _, test := range []struct {
		urls []string
		ok   bool
	}{
		{[]string{"amqp://a", "amqp://b/", "amqp://c/%2F"}, true},
		{[]string{"amqp://a/x", "amqps://u:p@b:1/x"}, true},
		{[]string{"amqp://a/x", "amqp://b/"}, false},
		{[]string{"amqp://a", "amqp://b/%252F"}, false},
	} {
		_, err := Broker{URLs: test.urls}.Resolve()
		if test.ok != (err == nil) || err != nil && !errors.Is(err, fault.ErrConfig) {
			t.Errorf("%q: %v", test.urls, err)
		}
	}
}
