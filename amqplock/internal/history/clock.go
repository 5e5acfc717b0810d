package history

import (
	"context"
	"errors"
	"fmt"
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
// queue. It asks again after a slow answer: a busy machine may have made it slow.
func askClock(ctx context.Context, b *beacon) (clock, error) {
	for took := time.Duration(0); ; {
		var c clock
		err := c.ask(ctx, b)
		switch {
		case took > 0 && errors.Is(err, context.DeadlineExceeded):
			return c, &slowError{took, err}
		case err != nil:
			return c, b.channel.Reason(err)
		}
		if took = c.answered.Sub(c.asked); took <= slowest {
			return c, nil
		}
	}
}

// slowError says that the newest answer took too long. The time to ask again is over.
type slowError struct {
	took time.Duration
	error
}

func (e *slowError) Error() string {
	return fmt.Sprintf("the broker takes %s to say it, and a token needs it within %s",
		e.took.Round(time.Millisecond), slowest)
}

func (e *slowError) Unwrap() error { return e.error }

// ask has one message dead-lettered.
func (c *clock) ask(ctx context.Context, b *beacon) error {
	err := b.channel.PublishWithContext(ctx, "", b.queue(), false, false, amqp.Publishing{})
	if err != nil {
		return err
	}
	message, err := receive(ctx, b.channel, b.messages)
	if err != nil {
		return err
	}
	c.asked = time.Now()
	if err := message.Reject(false); err != nil {
		return err
	}
	if message, err = receive(ctx, b.channel, b.messages); err != nil {
		return err
	}
	c.answered = time.Now()
	if c.second, err = deathTime(message.Headers); err != nil {
		return err
	}
	return message.Ack(false)
}

// slowest is how long an answer may take that shows the time of the broker. It bounds by
// how much two writers may be wrong, see newLogLift.
const slowest = 500 * time.Millisecond

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
