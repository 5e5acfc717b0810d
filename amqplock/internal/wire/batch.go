package wire

import (
	"net"
	"sync/atomic"
)

// batchConn can send several writes as one. amqp091-go writes each message by itself, and
// each write wakes the broker.
type batchConn struct {
	net.Conn
	turn  chan struct{} // full while somebody has it; a mutex would stop the clock of synctest
	holds bool          // writes wait in held
	held  []byte

	broken atomic.Bool // a write has failed, so the rest of the stream is lost
}

func newBatchConn(c net.Conn) *batchConn {
	return &batchConn{Conn: c, turn: make(chan struct{}, 1)}
}

func (b *batchConn) Write(p []byte) (int, error) {
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	if b.holds {
		b.held = append(b.held, p...)
		return len(p), nil
	}
	return b.write(p)
}

func (b *batchConn) write(p []byte) (int, error) {
	n, err := b.Conn.Write(p)
	if err != nil {
		b.broken.Store(true)
	}
	return n, err
}

// hold lets writes wait until send.
func (b *batchConn) hold() {
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	b.holds = true
}

func (b *batchConn) send() error {
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	_, err := b.write(b.held)
	b.holds, b.held = false, nil
	return err
}
