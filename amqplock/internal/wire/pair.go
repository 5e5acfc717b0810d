package wire

import (
	"context"
	"time"
)

// Pair is the two connections of one party to a lock. The lock connection declares,
// checks and deletes, and never publishes. In a memory or disk alarm RabbitMQ stops
// reading from every connection that has published, for as long as the alarm lasts. The
// publish connection publishes (probes, hints) and joins the wait queue. It may come
// and go.
type Pair struct {
	Broker   Broker
	Lock     *Conn
	Requests *RequestChannel // of the lock connection

	// OnPublish, if not nil, is called with each new publish connection.
	OnPublish func(*Conn)
	// PublishHeartbeat, if not 0, is that of new publish connections.
	PublishHeartbeat time.Duration

	publish  *Conn // nil until it is needed
	messages *RequestChannel
}

// UsePublish makes c the publish connection of a link that has none.
func (p *Pair) UsePublish(c *Conn) {
	p.publish, p.messages = c, NewRequestChannel(c)
	if p.OnPublish != nil {
		p.OnPublish(c)
	}
}

// OpenPublish opens the publish connection unless it is open.
func (p *Pair) OpenPublish(ctx context.Context) error {
	if p.publish != nil && !p.publish.IsClosed() {
		return nil
	}
	p.AbortPublish()
	b := p.Broker
	if p.PublishHeartbeat != 0 {
		b.Heartbeat = p.PublishHeartbeat
	}
	c, err := b.Open(ctx, ForPublish)
	if err != nil {
		return err
	}
	p.UsePublish(c)
	return nil
}

// Publish is the publish connection, nil if there is none. It may have ended.
func (p *Pair) Publish() *Conn { return p.publish }

// Messages is a request channel of the publish connection, for messages.
func (p *Pair) Messages() *RequestChannel { return p.messages }

// AbortPublish aborts the publish connection if there is one.
func (p *Pair) AbortPublish() {
	if p.publish != nil {
		p.publish.Abort()
		p.publish = nil
	}
}

// ClosePublish closes the publish connection, if there is one, in the protocol's way.
func (p *Pair) ClosePublish() {
	if p.publish != nil {
		p.publish.Close()
		p.AbortPublish()
	}
}

// Close closes both connections in the protocol's way, at the same time. Where the broker
// does not answer it aborts them after CloseTime.
func (p *Pair) Close() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if p.publish != nil {
			p.publish.Close()
		}
	}()
	p.Lock.Close()
	<-done
	p.Abort()
}

// Abort closes both sockets.
func (p *Pair) Abort() {
	p.AbortPublish()
	p.Lock.Abort()
}
