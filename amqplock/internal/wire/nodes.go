package wire

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
)

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

// skip has the next connection begin with the node behind that of the newest.
func (n *nodes) skip() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.start = (n.start + 1) % len(n.list)
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

// outspoken is a way to log in that has the broker name the reason when it refuses us.
// Without this capability of the client RabbitMQ closes the connection without a
// reason, 3 s late. That looks like a network that breaks.
type outspoken struct {
	amqp.Authentication
	properties amqp.Table
}

// Response is called when the library has written down its capabilities, and has not sent
// them.
func (o outspoken) Response() string {
	if capabilities, ok := o.properties["capabilities"].(amqp.Table); ok {
		capabilities["authentication_failure_close"] = true
	}
	return o.Authentication.Response()
}

// label names a node in messages, without credentials, as a URL that parseURL reads.
func label(uri amqp.URI) string {
	l := uri.Scheme + "://" + net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port))
	if uri.Vhost != "/" {
		l += "/" + inURL.Replace(uri.Vhost)
	}
	return l
}

// inURL escapes what a virtual host in a URL cannot have.
var inURL = strings.NewReplacer(
	"%", "%25", "/", "%2F", "?", "%3F", "#", "%23", "@", "%40", " ", "%20")
