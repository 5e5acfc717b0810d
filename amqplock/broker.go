package amqplock

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/locker"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// Defaults of Broker and WithCheckInterval: the user guest on this machine, 10 s, 10 s
// and 3 s.
const (
	DefaultURL            = wire.DefaultURL
	DefaultHeartbeat      = wire.DefaultHeartbeat
	DefaultConnectTimeout = wire.DefaultConnectTimeout
	DefaultCheckInterval  = locker.DefaultCheckInterval
)

// Broker says how to reach the broker, or a cluster of them. The zero value means
// DefaultURL and the other defaults.
type Broker struct {
	// URLs of the nodes of one cluster, amqp:// or amqps://, credentials included; never
	// shown. A connection tries them in order, each for ConnectTimeout, and the two
	// connections of one lock may end at different nodes. None means DefaultURL.
	URLs []string
	// Password is for URLs with a user and no password. New refuses it where there is
	// none.
	Password string
	// CACert is a PEM file that signs the broker's certificate; empty means the system's.
	CACert string
	// Cert and Key are PEM files of the client's certificate; both or none. The
	// certificate is also the login where a URL names no user.
	Cert, Key string
	// Heartbeat is in whole seconds, at least 2. It is that of the lock connection, and of
	// every connection with a place in the wait queue. The publish connection of a holder
	// may have a slower one. The broker may lower it. A lease is twice as long. 0 means
	// DefaultHeartbeat.
	Heartbeat time.Duration
	// ConnectTimeout bounds connecting to each node, how long Acquire tries again when
	// none can be reached at first, and every request. 0 means DefaultConnectTimeout.
	ConnectTimeout time.Duration

	// ConnectionName is shown among the connections of the broker; empty means none.
	ConnectionName string
	// Version, of the program, is shown there too; empty means that of the client
	// library.
	Version string

	// Dial connects to one address. Two goroutines may call it at the same time. The Client
	// closes what it returns, but the connection of a lock not before Release. nil means a
	// dialer that tries each address of a host after at most 0.3 s beside the one before.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	// Log gets each step at slog.LevelDebug, and at slog.LevelWarn why a wait is not for
	// other holders, once for each reason. It gets there too that a broker is back. A record
	// is one sentence, without attributes and without credentials. nil logs nothing.
	Log *slog.Logger
}

// Names returns the nodes without credentials, in the order of the URLs. It leaves out
// what cannot be parsed.
func (b Broker) Names() []string { return b.wire().Names() }

func (b Broker) wire() wire.Broker {
	return wire.Broker{
		URLs: b.URLs, Password: b.Password, CACert: b.CACert, Cert: b.Cert, Key: b.Key,
		Heartbeat: b.Heartbeat, ConnectTimeout: b.ConnectTimeout,
		ConnectionName: b.ConnectionName, Version: b.Version, Dial: b.Dial, Log: b.Log,
	}
}
