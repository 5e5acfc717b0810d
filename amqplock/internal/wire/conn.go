package wire

import (
	"net"
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

	batch *batchConn // of one ForPublish

	Ended   chan struct{} // closed when the connection has ended
	EndedAt time.Time     // then
	Why     *amqp.Error   // then: the reason, nil if we closed it

	alarms  chan amqp.Blocking // the newest notice: the broker stops reading from us, or goes on
	blocked atomic.Bool        // it has stopped
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

// IsClosed reports whether the connection has ended. The library notices a moment after
// it has returned the error of a write.
func (c *Conn) IsClosed() bool {
	return c.Connection.IsClosed() || c.batch != nil && c.batch.broken.Load()
}

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
