package testbroker

import (
	"net"
	"sync/atomic"
)

// Torn is a connection that fails to write from then on. Its reader sees nothing of that.
type Torn struct {
	net.Conn
	From *atomic.Bool
}

func (c Torn) Write(p []byte) (int, error) {
	if c.From.Load() {
		return 0, net.ErrClosed
	}
	return c.Conn.Write(p)
}
