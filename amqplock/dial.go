package amqplock

import (
	"context"
	"crypto/tls"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// label names a broker in messages, without credentials.
func label(uri amqp.URI) string {
	l := uri.Scheme + "://" + net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port))
	if uri.Vhost != "/" {
		l += "/" + uri.Vhost
	}
	return l
}

// conn is a connection to the broker. The socket is kept, because nothing in amqp091-go takes a context: the way to end
// a call that hangs is to close the socket under it.
type conn struct {
	*amqp.Connection
	socket  net.Conn // under TLS, if any
	broker  string
	alarms  chan amqp.Blocking // the newest word of the broker: it has stopped reading from us, or goes on
	blocked atomic.Bool        // it has stopped
	ended   chan struct{}      // closed when the connection has ended
	why     *amqp.Error        // then: the reason, nil if we closed it
	endedAt time.Time          // then
}

// openAt connects to one broker. It blocks until the broker has accepted the connection, ctx ends, or b.ConnectTimeout is over.
func (b Broker) openAt(ctx context.Context, at *node, keep bool) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, b.ConnectTimeout)
	defer cancel()
	c := &conn{broker: at.label}
	dialed, err := b.Dial(ctx, "tcp", net.JoinHostPort(at.uri.Host, strconv.Itoa(at.uri.Port)))
	if err != nil {
		return nil, unreachable(ctx, c.broker, err)
	}
	c.socket = newSocket(dialed)
	transport := c.socket
	// The end of ctx interrupts the handshakes of TLS and AMQP; neither knows of contexts.
	stop := context.AfterFunc(ctx, func() { _ = c.socket.SetDeadline(time.Unix(1, 0)) })
	if at.tls != nil {
		// The handshake is done here instead of leaving it to amqp091-go, so that what the library closes is always ours to keep open: closing
		// a tls.Conn tells the broker, and that frees the lock.
		secure := tls.Client(c.socket, at.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			stop()
			_ = c.socket.Close()
			return nil, tlsError(ctx, c.broker, err)
		}
		transport = secure
	}
	if keep {
		transport = &keptConn{Conn: transport}
	}
	c.Connection, err = amqp.Open(transport, b.amqpConfig(at, keep))
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = c.socket.Close()
		return nil, handshakeError(ctx, at, err)
	}
	c.alarms, c.ended = make(chan amqp.Blocking, 1), make(chan struct{})
	go c.followAlarms(c.NotifyBlocked(make(chan amqp.Blocking, 1)))
	reasons := c.NotifyClose(make(chan *amqp.Error, 1))
	go func() {
		c.why, c.endedAt = <-reasons, time.Now()
		close(c.ended)
	}()
	return c, nil
}

// followAlarms keeps the newest word until the connection ends; the library's reader would wait for a slower listener.
func (c *conn) followAlarms(words <-chan amqp.Blocking) {
	for word := range words {
		c.blocked.Store(word.Active)
		select {
		case <-c.alarms:
		default:
		}
		c.alarms <- word
	}
	close(c.alarms)
}

// amqpConfig leaves Recovery nil: a lock that came back silently after a loss would be a second holder.
func (b Broker) amqpConfig(at *node, hold bool) amqp.Config {
	properties := amqp.NewConnectionProperties() // a fresh table each time: the library writes to it
	properties["product"] = "amqprun"
	if b.Version != "" {
		properties["version"] = b.Version
	}
	if b.ConnectionName != "" && hold {
		properties.SetClientConnectionName(b.ConnectionName)
	} else if b.ConnectionName != "" {
		properties.SetClientConnectionName(b.ConnectionName + " (talk)")
	}
	ways := at.login()
	for i := range ways {
		ways[i] = outspoken{ways[i], properties}
	}
	return amqp.Config{
		SASL:       ways,
		Vhost:      at.uri.Vhost,
		Heartbeat:  b.Heartbeat,
		Properties: properties,
		Locale:     "en_US",
	}
}

// outspoken is a way to log in that has the broker say so when it refuses us. Without this capability of the client RabbitMQ closes the connection
// without a word, 3 s late, and nobody could tell that from a network that breaks.
type outspoken struct {
	amqp.Authentication
	properties amqp.Table
}

// Response is when the library has written down its capabilities, and has not sent them.
func (o outspoken) Response() string {
	if capabilities, ok := o.properties["capabilities"].(amqp.Table); ok {
		capabilities["authentication_failure_close"] = true
	}
	return o.Authentication.Response()
}

// drop closes the socket at once, which ends every call and goroutine of the connection. Where the connection holds a lock
// the broker frees it now.
func (c *conn) drop() {
	_ = c.socket.Close()
	<-c.ended
}

// farewellTime bounds the closing of a connection. In an alarm the broker does not read from one that has published.
const farewellTime = time.Second

// farewell closes the connection in the protocol's way, so that the broker has read everything sent before.
func (c *conn) farewell() {
	done := make(chan struct{})
	go func() {
		_ = c.CloseDeadline(time.Now().Add(farewellTime))
		close(done)
	}()
	for reads := true; reads; {
		select {
		case <-done:
			reads = false
		case word, ok := <-c.alarms:
			reads = ok && !word.Active // in an alarm it has read the first that was published, and reads no more
		}
	}
	c.drop()
}

// call runs f, which blocks on the broker heedless of any context, and returns early when ctx ends. Then f's goroutine
// lives until the connection is dropped; it must not touch what others use.
func call(ctx context.Context, f func() error) error {
	_, err := callFor(ctx, func() (struct{}, error) { return struct{}{}, f() })
	return err
}

// callFor is call for an f with a result. Where ctx has ended before, f is not called: whether its answer was faster would be luck.
func callFor[T any](ctx context.Context, f func() (T, error)) (value T, err error) {
	if ctx.Err() != nil {
		return value, context.Cause(ctx)
	}
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		value, err := f()
		answers <- answer{value, err}
	}()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
		return value, context.Cause(ctx)
	}
}

// keptConn is a connection that the library believes to have closed while the socket stays open. amqp091-go closes by itself after 1.5T
// of silence, and on Close; but closing frees the lock, and that may not happen before the command is dead.
type keptConn struct {
	net.Conn
	closed atomic.Bool
}

// SetReadDeadline does nothing: the lease, not the library, decides when silence is too long.
func (k *keptConn) SetReadDeadline(time.Time) error { return nil }

// Close leaves the socket open. Later writes fail; a Read that waits goes on waiting until conn.drop.
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
