package amqplock

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"
)

// node is a broker that a URL names.
type node struct {
	uri        amqp.URI
	label      string      // for messages: without credentials
	tls        *tls.Config // nil for amqp://
	mechanisms []string    // of the login, in lower case
}

// external tells who logs in by a certificate.
func (n *node) external() bool { return slices.Contains(n.mechanisms, "external") }

// who logs in.
func (n *node) who() string {
	if n.external() {
		return "the user of the certificate"
	}
	return fmt.Sprintf("user %q", n.uri.Username)
}

// login returns new values each time: the library wipes the passwords in them.
func (n *node) login() (ways []amqp.Authentication) {
	for _, mechanism := range n.mechanisms {
		switch mechanism {
		case "external":
			ways = append(ways, &amqp.ExternalAuth{})
		case "amqplain":
			ways = append(ways, n.uri.AMQPlainAuth())
		default:
			ways = append(ways, n.uri.PlainAuth())
		}
	}
	return ways
}

// resolve makes nodes of the URLs. It reads the files of certificates, and contacts nothing.
func (b Broker) resolve() (*nodes, error) {
	urls := b.urls()
	n := &nodes{refused: map[*node]error{}, accepted: map[*node]bool{}}
	passwordUsed, secure := false, false
	for i, raw := range urls {
		at, used, err := b.node(raw)
		if err != nil {
			if len(urls) > 1 {
				err.Text = strings.Replace(err.Text, "broker URL", fmt.Sprintf("broker URL %d", i+1), 1)
			}
			return nil, err
		}
		n.list = append(n.list, at)
		passwordUsed, secure = passwordUsed || used, secure || at.tls != nil
	}
	switch {
	case b.Password != "" && !passwordUsed:
		return nil, &Error{
			Kind: ErrConfig,
			Text: "a password is given beside a broker URL that does not need one",
			Hint: "a password of its own is for a URL with a user and without a password: amqp://USER@HOST/",
		}
	case b.CACert+b.Cert+b.Key != "" && !secure:
		return nil, &Error{Kind: ErrConfig, Text: "certificates are given, and the broker URL says amqp://", Hint: "write amqps://"}
	}
	return n, nil
}

// node is resolve for one URL; passwordUsed says that it took Broker.Password.
func (b Broker) node(raw string) (at *node, passwordUsed bool, _ *Error) {
	uri, why := parseURL(raw)
	if why != "" {
		return nil, false, &Error{Kind: ErrConfig, Text: "broker URL: " + why, Hint: urlHint}
	}
	at = &node{uri: uri, label: label(uri)}
	var err *Error
	if at.tls, err = b.tlsConfig(uri); err != nil {
		return nil, false, err
	}
	for _, mechanism := range uri.AuthMechanism {
		at.mechanisms = append(at.mechanisms, strings.ToLower(mechanism))
	}
	user, password := credentials(raw)
	certificate := at.tls != nil && at.tls.GetClientCertificate != nil
	switch {
	case at.external() && !certificate:
		return nil, false, &Error{Kind: ErrConfig, Text: "broker URL: auth_mechanism=external needs amqps:// and a client certificate"}
	case at.mechanisms == nil && certificate && !user:
		at.mechanisms = []string{"external"}
	case at.mechanisms == nil:
		at.mechanisms = []string{"plain"}
	}
	if user && !password && !at.external() {
		if b.Password == "" {
			return nil, false, &Error{
				Kind: ErrConfig,
				Text: fmt.Sprintf("broker URL: there is no password for user %q", uri.Username),
				Hint: "amqp://USER:PASSWORD@HOST/, or the password in a file of its own",
			}
		}
		at.uri.Password, passwordUsed = b.Password, true
	}
	return at, passwordUsed, nil
}

// Names returns the brokers without credentials, in the order of the URLs. What cannot be parsed is left out.
func (b Broker) Names() []string {
	var names []string
	for _, raw := range b.urls() {
		if uri, why := parseURL(raw); why == "" {
			names = append(names, label(uri))
		}
	}
	return names
}

func (b Broker) urls() []string {
	if len(b.URLs) == 0 {
		return []string{DefaultURL}
	}
	return b.URLs
}

// nodes are the brokers of one party, in the order of the URLs.
type nodes struct {
	list []*node

	mu       sync.Mutex
	start    int             // the one that was connected to last: the others may be what had to be waited for
	accepted map[*node]bool  // who has taken a connection
	refused  map[*node]error // what a broker would answer again
}

// String names them for messages.
func (n *nodes) String() string {
	labels := make([]string, len(n.list))
	for i, at := range n.list {
		labels[i] = at.label
	}
	return strings.Join(labels, ", ")
}

// inOrder returns the nodes as they are to be tried.
func (n *nodes) inOrder() []*node {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Concat(n.list[n.start:], n.list[:n.start])
}

func (n *nodes) refusal(at *node) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.refused[at]
}

// tried takes note of how a connection to a node went.
func (n *nodes) tried(at *node, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var known *Error
	switch {
	case err == nil:
		n.start, n.accepted[at] = slices.Index(n.list, at), true
	case n.accepted[at] && errors.As(err, &known):
		known.passing = true
	case !temporary(err):
		n.refused[at] = err
	}
}

// forgive has those asked again that have refused us.
func (n *nodes) forgive() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.refused)
}

// temporary reports whether it makes sense to try again what has failed.
func temporary(err error) bool {
	var e *Error
	return errors.As(err, &e) && (e.passing || errors.Is(e.Kind, ErrUnreachable) && !e.final)
}

// open connects to the first broker that takes the connection; keep makes it a connection whose socket only drop closes. It blocks until
// then, until ctx ends, or for Broker.ConnectTimeout at each. A broker that has refused us for good, and never accepted us, is not
// asked again.
func (c Config) open(ctx context.Context, keep bool) (*conn, error) {
	var failures []*Error
	for _, at := range c.nodes.inOrder() {
		err := c.nodes.refusal(at)
		if err == nil {
			var opened *conn
			if opened, err = c.openAt(ctx, at, keep); err == nil {
				c.nodes.tried(at, nil)
				return opened, nil
			}
			if ctx.Err() == nil {
				c.nodes.tried(at, err)
			}
		}
		var known *Error
		if !errors.As(err, &known) {
			return nil, err // the caller's own reason to stop
		}
		failures = append(failures, known)
		if ctx.Err() != nil {
			break
		}
		if len(c.nodes.list) > 1 {
			c.Logf("%v", err)
		}
	}
	return nil, noneOf(len(c.nodes.list), failures)
}

// noneOf joins the failures of several brokers. What one of them has answered says more than the silence of the others.
func noneOf(total int, failures []*Error) error {
	if total == 1 {
		return failures[0]
	}
	all := &Error{Kind: ErrUnreachable, Hint: failures[0].Hint, final: true}
	texts := make([]string, len(failures))
	for i, e := range failures {
		texts[i] = e.Text
		all.final, all.passing = all.final && !temporary(e), all.passing || e.passing
		if errors.Is(all.Kind, ErrUnreachable) && !errors.Is(e.Kind, ErrUnreachable) {
			all.Kind, all.Hint = e.Kind, e.Hint
		}
	}
	all.Text = fmt.Sprintf("none of %d brokers took the connection: %s", total, strings.Join(texts, "; "))
	return all
}
