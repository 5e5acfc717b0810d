package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

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

// openAt connects to one node. It blocks until the node has accepted the connection, ctx
// ends, or b.ConnectTimeout is over.
func (b Broker) openAt(ctx context.Context, at *node, role Role) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, b.ConnectTimeout)
	defer cancel()
	c := &Conn{Broker: at.label}
	if !at.external() {
		c.User = at.uri.Username
	}
	var err error
	c.Socket, err = b.Dial(ctx, "tcp", net.JoinHostPort(at.uri.Host, strconv.Itoa(at.uri.Port)))
	if err != nil {
		return nil, unreachable(ctx, c.Broker, err)
	}
	var secure *lastWords
	transport := c.Socket
	// The end of ctx interrupts the handshakes of TLS and AMQP; neither knows of
	// contexts.
	stop := context.AfterFunc(ctx, func() { _ = c.Socket.SetDeadline(time.Unix(1, 0)) })
	if at.tls != nil {
		// The handshake is done here and not by amqp091-go, so that it depends on us whether
		// the connection stays open. Closing a tls.Conn notifies the broker, and that frees
		// the lock.
		client := tls.Client(c.Socket, at.tls)
		secure = &lastWords{Conn: client}
		if err := client.HandshakeContext(ctx); err != nil {
			stop()
			_ = c.Socket.Close()
			return nil, tlsError(ctx, c.Broker, err)
		}
		transport = secure
	}
	if role == ForLock {
		transport = &keptConn{Conn: transport}
	} else {
		c.batch = newBatchConn(transport)
		transport = c.batch
	}
	c.Connection, err = amqp.Open(transport, b.amqpConfig(at, role))
	if err != nil && secure != nil {
		err = verdict(secure, err)
	}
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = c.Socket.Close()
		return nil, handshakeError(ctx, at, err)
	}
	if role == ForPublish {
		// The library sets this deadline at each frame, but clears it at the end of the
		// handshake. So it would not notice that nothing comes at all after that.
		_ = transport.SetReadDeadline(time.Now().Add(3 * (c.Config.Heartbeat / 2)))
	}
	c.alarms, c.Ended = make(chan amqp.Blocking, 1), make(chan struct{})
	go c.followAlarms(c.NotifyBlocked(make(chan amqp.Blocking, 1)))
	reasons := c.NotifyClose(make(chan *amqp.Error, 1))
	go func() {
		c.Why, c.EndedAt = <-reasons, time.Now()
		close(c.Ended)
	}()
	return c, nil
}

// verdict is what the broker has said of our certificate where the client library reports
// the reset that follows, or that the connection is closed. In TLS 1.3 a broker says it
// behind our part of the handshake.
func verdict(secure *lastWords, err error) error {
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		_, _ = secure.Read(make([]byte, 1)) // does not block: nothing comes behind a reset
	}
	if said := secure.said.Load(); said != nil {
		return *said
	}
	return err
}

// lastWords remembers the error of TLS that ended the reading. The client library may
// have read it, and report another.
type lastWords struct {
	net.Conn
	said atomic.Pointer[error]
}

func (l *lastWords) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if err != nil && strings.Contains(err.Error(), "tls: ") {
		l.said.CompareAndSwap(nil, &err)
	}
	return n, err
}

// amqpConfig leaves Recovery nil: a lock that came back silently after a loss would be a
// second holder.
func (b Broker) amqpConfig(at *node, role Role) amqp.Config {
	properties := amqp.NewConnectionProperties() // a fresh table each time: the library writes to it
	properties["product"] = "amqprun"
	if b.Version != "" {
		properties["version"] = b.Version
	}
	switch {
	case b.ConnectionName == "":
	case role == ForLock:
		properties.SetClientConnectionName(b.ConnectionName)
	default:
		properties.SetClientConnectionName(b.ConnectionName + " (publish)")
	}
	return amqp.Config{
		SASL:       at.logins(properties),
		Vhost:      at.uri.Vhost,
		Heartbeat:  b.Heartbeat,
		Properties: properties,
		Locale:     "en_US",
	}
}
