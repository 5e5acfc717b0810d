package wire

import (
	"context"
	"errors"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Channel is a channel of a connection that others use too. What crosses with the closing
// of a channel can end the whole connection. RabbitMQ ends it at a request that comes
// behind the closing (504, expected 'channel.open'), and the library at an answer. So
// calls follow one another. The channel is closed behind them, also behind those that
// nobody waits for any more.
type Channel struct {
	*amqp.Channel
	closed chan *amqp.Error // why the broker has closed it
	turn   chan struct{}    // full during a call; a mutex would stop the clock of synctest
}

// OpenChannel opens a channel. Where ctx ends before, the channel is closed again.
func OpenChannel(ctx context.Context, conn *Conn) (*Channel, error) {
	return CallFor(ctx, func() (*Channel, error) {
		c, err := newChannel(conn)
		if err == nil && ctx.Err() != nil {
			c.CloseLater()
		}
		return c, err
	})
}

func newChannel(conn *Conn) (*Channel, error) {
	channel, err := conn.Channel()
	if err != nil {
		return nil, err
	}
	return &Channel{
		Channel: channel,
		closed:  channel.NotifyClose(make(chan *amqp.Error, 1)),
		turn:    make(chan struct{}, 1),
	}, nil
}

// Call is Call for an f that uses the channel.
func (c *Channel) Call(ctx context.Context, f func() error) error {
	_, err := CallOn(ctx, c, func() (struct{}, error) { return struct{}{}, f() })
	return err
}

// CallOn is Channel.Call for an f with a result.
func CallOn[T any](ctx context.Context, c *Channel, f func() (T, error)) (T, error) {
	value, err := CallFor(ctx, func() (T, error) { return inTurn(c, f) })
	return value, c.Reason(err)
}

// inTurn blocks until f has used the channel.
func inTurn[T any](c *Channel, f func() (T, error)) (T, error) {
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	return f()
}

// CloseLater closes the channel. The answer is not worth a round trip: it comes, or the
// connection ends.
func (c *Channel) CloseLater() {
	go func() { _, _ = inTurn(c, func() (struct{}, error) { return struct{}{}, c.Close() }) }()
}

// Reason replaces err, if there is one, by the reason for which the broker has closed the
// channel. The library hands that out a moment after it has closed the channel.
func (c *Channel) Reason(err error) error {
	var why *amqp.Error
	switch {
	case err == nil:
	case errors.Is(err, amqp.ErrClosed):
		why = <-c.closed
	default:
		select {
		case why = <-c.closed:
		default:
		}
	}
	if why != nil {
		return why
	}
	return err
}
