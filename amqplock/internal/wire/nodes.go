package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
)

// Open connects to the first node that takes the connection. It blocks until then, until
// ctx ends, or for Broker.ConnectTimeout at each node. A node that has refused us for
// good, and has never accepted us, is not asked again.
func (b Broker) Open(ctx context.Context, role Role) (*Conn, error) {
	var failures []*refusal
	for _, at := range b.nodes.inOrder() {
		err := b.nodes.refusal(at)
		if err == nil {
			var opened *Conn
			if opened, err = b.openAt(ctx, at, role); err == nil {
				b.nodes.accepts(at)
				return opened, nil
			}
			if ctx.Err() == nil {
				err = b.nodes.refuses(at, err)
			}
		}
		var known *refusal
		if !errors.As(err, &known) {
			return nil, err // the caller's own reason to stop
		}
		failures = append(failures, known)
		if ctx.Err() != nil {
			break
		}
		if len(b.nodes.list) > 1 {
			b.Debugf("%v", err)
		}
	}
	return nil, noneOf(len(b.nodes.list), failures)
}

// noneOf joins the failures of several nodes. What one of them has answered says more
// than the silence of the others.
func noneOf(total int, failures []*refusal) error {
	if total == 1 {
		return failures[0]
	}
	err := &fault.Error{Kind: fault.ErrUnreachable, Hint: failures[0].err.Hint}
	all := &refusal{err: err, final: true}
	texts := make([]string, len(failures))
	for i, one := range failures {
		texts[i] = one.err.Text
		all.final = all.final && !Temporary(one)
		all.passing = all.passing || one.passing
		all.away = all.away || Away(one)
		if errors.Is(err, fault.ErrUnreachable) && !errors.Is(one, fault.ErrUnreachable) {
			err.Kind, err.Hint = one.err.Kind, one.err.Hint
		}
	}
	err.Text = fmt.Sprintf("none of %d brokers took the connection: %s",
		total, strings.Join(texts, "; "))
	return all
}

// refusal is a connection that a node did not take.
type refusal struct {
	err *fault.Error

	final   bool // Another try makes no sense.
	passing bool // It accepted us before: it may be restarting.
	away    bool // One of several nodes may come back.
}

func (r *refusal) Error() string { return r.err.Text }
func (r *refusal) Unwrap() error { return r.err }

// Temporary reports whether it makes sense to open a connection again after err.
func Temporary(err error) bool {
	var r *refusal
	return errors.As(err, &r) && (r.passing || errors.Is(r, fault.ErrUnreachable) && !r.final)
}

// Away reports whether a node could not be reached, and may come back. Others may have
// refused us.
func Away(err error) bool {
	var r *refusal
	return errors.As(err, &r) && (r.away || errors.Is(r, fault.ErrUnreachable) && !r.final)
}

// nodes are the brokers of one party, in the order of the URLs.
type nodes struct {
	list []*node

	mu       sync.Mutex
	start    int             // the node of the newest connection: we may have waited for others
	accepted map[*node]bool  // those that have taken a connection
	refused  map[*node]error // what a node would answer again
}

func newNodes(list []*node) *nodes {
	return &nodes{list: list, refused: map[*node]error{}, accepted: map[*node]bool{}}
}

// inOrder returns the nodes in the order in which to try them.
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

// accepts notes that a node has taken a connection.
func (n *nodes) accepts(at *node) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.start, n.accepted[at] = slices.Index(n.list, at), true
}

// refuses notes that a node has not taken a connection, and returns err with what is
// known of it.
func (n *nodes) refuses(at *node, err error) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var known *refusal
	switch {
	case n.accepted[at] && errors.As(err, &known):
		again := *known
		again.passing = true
		return &again
	case !Temporary(err):
		n.refused[at] = err
	}
	return err
}

func (n *nodes) forgive() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.refused)
}

// node is a broker that a URL names.
type node struct {
	uri        amqp.URI
	label      string      // for messages: without credentials
	tls        *tls.Config // nil for amqp://
	mechanisms []string    // of the login, in lower case
}

// external reports whether the login is by certificate.
func (n *node) external() bool { return slices.Contains(n.mechanisms, "external") }

// user names for messages the user that logs in.
func (n *node) user() string {
	if n.external() {
		return "the user of the certificate"
	}
	return fmt.Sprintf("user %q", n.uri.Username)
}

// logins are the ways to log in, in the order in which to try them. properties are those
// of the connection.
func (n *node) logins(properties amqp.Table) (ways []amqp.Authentication) {
	for _, mechanism := range n.mechanisms {
		var way amqp.Authentication = n.uri.PlainAuth()
		switch mechanism {
		case "external":
			way = &amqp.ExternalAuth{}
		case "amqplain":
			way = n.uri.AMQPlainAuth()
		}
		ways = append(ways, outspoken{way, properties})
	}
	return ways
}

// resolve makes nodes of the URLs.
func (b Broker) resolve() (*nodes, error) {
	urls := b.urls()
	var list []*node
	passwordUsed, secure := false, false
	for i, raw := range urls {
		at, used, err := b.node(raw)
		if err != nil {
			if len(urls) > 1 {
				err.Text = strings.Replace(err.Text, "broker URL", fmt.Sprintf("broker URL %d", i+1), 1)
			}
			return nil, err
		}
		list = append(list, at)
		passwordUsed, secure = passwordUsed || used, secure || at.tls != nil
	}
	switch {
	case b.Password != "" && !passwordUsed:
		err := fault.Config("a password is given, and no broker URL has a user without a password")
		err.Hint = "leave out --password-file, or write the URL as amqp://USER@HOST/"
		return nil, err
	case b.CACert+b.Cert+b.Key != "" && !secure:
		err := fault.Config("certificates are given, and no broker URL begins with amqps://")
		err.Hint = "write amqps:// for --cacert, --cert and --key; its port is usually 5671"
		return nil, err
	}
	return newNodes(list), nil
}

// node is resolve for one URL; passwordUsed says that it took Broker.Password.
func (b Broker) node(raw string) (at *node, passwordUsed bool, _ *fault.Error) {
	uri, why := parseURL(raw)
	if why != "" {
		err := fault.Config("broker URL: %s", why)
		err.Hint = urlHint
		return nil, false, err
	}
	at = &node{uri: uri, label: label(uri)}
	var err *fault.Error
	if at.tls, err = tlsConfig(uri, b.CACert, b.Cert, b.Key); err != nil {
		return nil, false, err
	}
	for _, mechanism := range uri.AuthMechanism {
		at.mechanisms = append(at.mechanisms, strings.ToLower(mechanism))
	}
	user, password := credentials(raw)
	certificate := at.tls != nil && at.tls.GetClientCertificate != nil
	switch {
	case at.external() && !certificate:
		return nil, false, fault.Config(
			"broker URL: auth_mechanism=external needs amqps:// and a client certificate")
	case at.mechanisms == nil && certificate && !user:
		at.mechanisms = []string{"external"}
	case at.mechanisms == nil:
		at.mechanisms = []string{"plain"}
	}
	if user && !password && !at.external() {
		if b.Password == "" {
			err := fault.Config("broker URL: there is no password for user %q", uri.Username)
			err.Hint = "amqp://USER:PASSWORD@HOST/, or --password-file FILE"
			return nil, false, err
		}
		at.uri.Password, passwordUsed = b.Password, true
	}
	return at, passwordUsed, nil
}
