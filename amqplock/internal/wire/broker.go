// Package wire is how amqplock speaks to RabbitMQ. It has the addresses of the brokers,
// connections and their request channels, questions by publishing, the names of queues,
// and the meanings of answers.
package wire

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
)

// Defaults of Broker. The heartbeat is within the 5 to 20 seconds that RabbitMQ's
// documentation recommends.
const (
	DefaultURL            = "amqp://guest:guest@localhost:5672/"
	DefaultHeartbeat      = 10 * time.Second
	DefaultConnectTimeout = 10 * time.Second
)

// Broker says how to reach the broker, or a cluster of them. amqplock.Broker documents
// the fields.
type Broker struct {
	URLs           []string
	Password       string
	CACert         string
	Cert, Key      string
	Heartbeat      time.Duration
	ConnectTimeout time.Duration
	ConnectionName string
	Version        string
	Dial           func(ctx context.Context, network, addr string) (net.Conn, error)
	Log            *slog.Logger

	nodes *nodes
}

// minHeartbeat is the least that amqp091-go handles: it sends every T/2, in a ticker that
// tolerates a second.
const minHeartbeat = 2 * time.Second

// MaxHeartbeat is the most that AMQP has room for.
const MaxHeartbeat = 65535 * time.Second

// Resolve fills in the zero values and refuses what cannot work. It reads the files of
// certificates, and contacts nothing. A Broker that was resolved stays as it is.
func (b Broker) Resolve() (Broker, error) {
	if b.nodes != nil {
		return b, nil
	}
	b.Heartbeat = cmp.Or(b.Heartbeat, DefaultHeartbeat)
	b.ConnectTimeout = cmp.Or(b.ConnectTimeout, DefaultConnectTimeout)
	if b.Heartbeat < minHeartbeat || b.Heartbeat%time.Second != 0 || b.Heartbeat > MaxHeartbeat {
		return b, fault.Config("heartbeat %s: must be whole seconds, from %s to 65535s",
			b.Heartbeat, minHeartbeat)
	}
	if b.ConnectTimeout < 0 {
		return b, fault.Config("connect timeout %s: is negative", b.ConnectTimeout)
	}
	if b.Dial == nil {
		b.Dial = dialer{}.DialContext
	}
	b.Log = cmp.Or(b.Log, slog.New(slog.DiscardHandler))
	var err error
	b.nodes, err = b.resolve()
	return b, err
}

// resolve makes nodes of the URLs.
func (b Broker) resolve() (*nodes, error) {
	urls := b.urls()
	var list []*node
	passwordUsed, secure := false, false
	files := pemFiles{}
	for i, raw := range urls {
		at, used, err := b.node(raw, files)
		if err != nil {
			if len(urls) > 1 {
				err.Text = strings.Replace(err.Text, "broker URL", fmt.Sprintf("broker URL %d", i+1), 1)
			}
			return nil, err
		}
		if i > 0 && at.uri.Vhost != list[0].uri.Vhost { // each would grant the lock
			return nil, fault.Config("broker URL %d: its virtual host is %q, and that of the first URL %q",
				i+1, at.uri.Vhost, list[0].uri.Vhost)
		}
		list = append(list, at)
		passwordUsed, secure = passwordUsed || used, secure || at.tls != nil
	}
	switch {
	case b.Password != "" && !passwordUsed:
		err := fault.Config("a password is given, and no broker URL has a user without a password")
		err.Hint = "leave out --password-file (AMQPRUN_PASSWORD_FILE), or write the URL as " +
			"amqp://USER@HOST/"
		return nil, err
	case b.CACert+b.Cert+b.Key != "" && !secure:
		err := fault.Config("certificates are given, and no broker URL begins with amqps://")
		err.Hint = "write amqps:// for --cacert, --cert and --key; its port is usually 5671. " +
			"The variables AMQPRUN_CACERT, AMQPRUN_CERT and AMQPRUN_KEY count too"
		return nil, err
	}
	return newNodes(list), nil
}

// node is resolve for one URL; passwordUsed says that it took Broker.Password.
func (b Broker) node(
	raw string, files pemFiles,
) (at *node, passwordUsed bool, _ *fault.Error) {
	uri, why := parseURL(raw)
	if why != "" {
		err := fault.Config("broker URL: %s", why)
		err.Hint = urlHint
		return nil, false, err
	}
	at = &node{uri: uri, label: label(uri)}
	var err *fault.Error
	if at.tls, err = tlsConfig(uri, files, b.CACert, b.Cert, b.Key); err != nil {
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

// Each returns the nodes of a Broker that was resolved, each as a Broker of its own.
func (b Broker) Each() (list []Broker) {
	for _, at := range b.nodes.list {
		one := b
		one.nodes = newNodes([]*node{at})
		list = append(list, one)
	}
	return list
}

// Afresh is the broker for one more party: what nodes have refused it so far is not known
// to it.
func (b Broker) Afresh() Broker {
	if b.nodes != nil {
		b.nodes = newNodes(b.nodes.list)
	}
	return b
}

// Names returns the nodes without credentials, in the order of the URLs. It leaves out
// what cannot be parsed.
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

// Forgive lets Open ask again the nodes that have refused us.
func (b Broker) Forgive() { b.nodes.forgive() }

// Skip has Open begin with another node than that of the newest connection. A node that
// is cut off from the others takes connections, and may grant nothing.
func (b Broker) Skip() { b.nodes.skip() }

// Debugf logs a step.
func (b Broker) Debugf(format string, args ...any) { b.logf(slog.LevelDebug, format, args) }

// Warnf logs what everybody should know: that the wait is not for other holders.
func (b Broker) Warnf(format string, args ...any) { b.logf(slog.LevelWarn, format, args) }

func (b Broker) logf(level slog.Level, format string, args []any) {
	if ctx := context.Background(); b.Log.Enabled(ctx, level) {
		b.Log.Log(ctx, level, fmt.Sprintf(format, args...))
	}
}

// String names the nodes for messages.
func (b Broker) String() string { return strings.Join(b.Names(), ", ") }

// Took is the time since begun, for people.
func Took(begun time.Time) time.Duration { return time.Since(begun).Round(10 * time.Microsecond) }
