package wire

import (
	"context"
	"crypto/tls"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Role is what a connection is for.
type Role int

// The roles of the two connections of one party.
const (
	ForLock    Role = iota // it declares, checks and deletes; only Abort closes its socket
	ForPublish             // it publishes
)

// Conn is a connection to the broker. It keeps the socket, because nothing in
// amqp091-go takes a context. A call that hangs ends when the socket is closed under
// it.
type Conn struct {
	*amqp.Connection
	Socket net.Conn // under TLS, if any
	Broker string   // the node, without credentials
	User   string   // of the login; empty for one by certificate

	Ended   chan struct{} // closed when the connection has ended
	EndedAt time.Time     // then
	Why     *amqp.Error   // then: the reason, nil if we closed it

	alarms  chan amqp.Blocking // the newest notice: the broker stops reading from us, or goes on
	blocked atomic.Bool        // it has stopped
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
	transport := c.Socket
	// The end of ctx interrupts the handshakes of TLS and AMQP; neither knows of
	// contexts.
	stop := context.AfterFunc(ctx, func() { _ = c.Socket.SetDeadline(time.Unix(1, 0)) })
	if at.tls != nil {
		// The handshake is done here and not by amqp091-go, so that it depends on us whether
		// the connection stays open. Closing a tls.Conn notifies the broker, and that frees
		// the lock.
		secure := tls.Client(c.Socket, at.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			stop()
			_ = c.Socket.Close()
			return nil, tlsError(ctx, c.Broker, err)
		}
		transport = secure
	}
	if role == ForLock {
		transport = &keptConn{Conn: transport}
	}
	c.Connection, err = amqp.Open(transport, b.amqpConfig(at, role))
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = c.Socket.Close()
		return nil, handshakeError(ctx, at, err)
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

// followAlarms keeps the newest notice until the connection ends; the library's reader
// would wait for a slower listener.
func (c *Conn) followAlarms(notices <-chan amqp.Blocking) {
	for notice := range notices {
		c.blocked.Store(notice.Active)
		select {
		case <-c.alarms:
		default:
		}
		c.alarms <- notice
	}
	close(c.alarms)
}

// Blocked reports whether the broker has stopped reading from the connection, in an
// alarm.
func (c *Conn) Blocked() bool { return c.blocked.Load() }

// Alarms receives the newest notice of an alarm. It is closed when the connection has
// ended.
func (c *Conn) Alarms() <-chan amqp.Blocking { return c.alarms }

// Abort closes the socket at once, which ends every call and goroutine of the connection.
// Where the connection holds a lock the broker frees it now.
func (c *Conn) Abort() {
	_ = c.Socket.Close()
	<-c.Ended
}

// CloseTime bounds Close. In an alarm the broker does not read from a connection that has
// published.
const CloseTime = time.Second

// Close closes the connection in the protocol's way, so that the broker has read
// everything that was sent before. After CloseTime, and in an alarm, it aborts.
func (c *Conn) Close() {
	done := make(chan struct{})
	go func() {
		_ = c.CloseDeadline(time.Now().Add(CloseTime))
		close(done)
	}()
	for reads := !c.Blocked(); reads; {
		select {
		case <-done:
			reads = false
		case notice, ok := <-c.alarms:
			reads = ok && !notice.Active // it has read the first that was published, and reads no more
		}
	}
	c.Abort()
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

// keptConn is a connection that the library believes to have closed while the socket
// stays open. amqp091-go closes by itself after 1.5T of silence, and on Close. But
// closing frees the lock, and that may not happen before the command is dead.
type keptConn struct {
	net.Conn
	closed atomic.Bool
}

// SetReadDeadline does nothing: the lease, not the library, decides when silence is too
// long.
func (k *keptConn) SetReadDeadline(time.Time) error { return nil }

// Close leaves the socket open. Later writes fail. A Read that waits goes on waiting
// until Conn.Abort.
func (k *keptConn) Close() error {
	k.closed.Store(true)
	return nil
}

func (k *keptConn) Write(p []byte) (int, error) {
	if k.closed.Load() {
		return 0, net.ErrClosed
	}
	return k.Conn.Write(p)
}

// label names a node in messages, without credentials.
func label(uri amqp.URI) string {
	l := uri.Scheme + "://" + net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port))
	if uri.Vhost != "/" {
		l += "/" + uri.Vhost
	}
	return l
}
