package history

import (
	"context"
	"errors"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// clock is the time of the broker. Tokens come from it and not from the clocks of the
// clients. So an hour between those does no damage when the log is lost. RabbitMQ shows
// its time in one place only, the header of a message that was dead-lettered. It shows it
// to the second.
type clock struct {
	second          int64 // Unix time, at some instant between asked and answered
	asked, answered time.Time
}

// now is the time of the broker in Unix milliseconds. It is that of our own clock, as far
// as it agrees with the second that the broker has named.
func (c clock) now(own time.Time) int64 {
	earliest := c.second*1000 + time.Since(c.answered).Milliseconds()
	latest := c.second*1000 + 999 + time.Since(c.asked).Milliseconds()
	return min(max(own.UnixMilli(), earliest), latest)
}

// askClock has the broker dead-letter a message from a beacon of our own into the same
// queue.
func askClock(ctx context.Context, b *beacon) (clock, error) {
	var c clock
	err := b.channel.PublishWithContext(ctx, "", b.queue(), false, false, amqp.Publishing{})
	if err != nil {
		return c, reason(err, b.closed)
	}
	message, err := receive(ctx, b.messages, b.closed)
	if err != nil {
		return c, err
	}
	c.asked = time.Now()
	if err := message.Reject(false); err != nil {
		return c, reason(err, b.closed)
	}
	if message, err = receive(ctx, b.messages, b.closed); err != nil {
		return c, err
	}
	c.answered = time.Now()
	if c.second, err = deathTime(message.Headers); err != nil {
		return c, err
	}
	return c, reason(message.Ack(false), b.closed)
}

// deathTime finds when a message was dead-lettered.
func deathTime(headers amqp.Table) (int64, error) {
	deaths, _ := headers["x-death"].([]any)
	if len(deaths) > 0 {
		if death, ok := deaths[0].(amqp.Table); ok {
			if at, ok := death["time"].(time.Time); ok && at.Unix() > 0 {
				return at.Unix(), nil
			}
		}
	}
	return 0, errors.New("the broker did not say when it dead-lettered a message")
}
