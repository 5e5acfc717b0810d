package history

import (
	"context"
	"slices"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/errgroup"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// atOnce is how many pieces of a log are read at the same time. Most chunks of a log have
// one record, because each run appends alone. RabbitMQ 3.10 takes 0.1 ms for a chunk, and
// spends that waiting: eight readers are not slower than one.
const atOnce = 8

// collect reads the log from an offset up to another one, at which there is a record. If
// the broker has deleted the beginning it returns what is left.
func (s *stream) collect(ctx context.Context, begin, upTo int64) ([]entry, error) {
	first, err := s.piece(ctx, begin, upTo) // alone: it shows where the log begins
	if err != nil {
		return nil, err
	}
	next := first[len(first)-1].offset + 1
	pieces := make([][]entry, max(0, upTo-next+prefetch)/prefetch)
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(atOnce)
	for i := range pieces {
		from := next + int64(i)*prefetch
		all.Go(func() error {
			read, err := s.piece(ctx, from, upTo)
			beyond := func(e entry) bool { return e.offset >= from+prefetch }
			pieces[i] = slices.DeleteFunc(read, beyond) // if this piece has just been deleted
			return err
		})
	}
	if err := all.Wait(); err != nil {
		return nil, err
	}
	return append(first, slices.Concat(pieces...)...), nil
}

// piece reads at most prefetch records from an offset on, up to another one at which
// there is a record. It returns the next record if the broker has deleted all these.
func (s *stream) piece(ctx context.Context, from, upTo int64) (entries []entry, err error) {
	to := min(from+prefetch-1, upTo)
	channel, messages, err := s.consume(ctx, from, int(to-from+1))
	if err != nil {
		return nil, err
	}
	defer channel.CloseLater()
	for {
		message, err := receive(ctx, channel, messages)
		if err != nil {
			return nil, err
		}
		e, err := entryOf(message)
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
		if e.offset >= to {
			return entries, nil
		}
	}
}

// emptyTime is how long the first record of a log may take to come. No answer of the
// broker shows that a log is empty. Whoever makes one then writes to it.
const emptyTime = 5 * time.Second

// maxBatch is the largest prefetch that there is. No chunk has more records.
const maxBatch = 65535

// lastChunk reads the last chunk of the log, and what is behind it by now. The broker
// sends all of it in one go. We stop consuming when the first record is there, and the
// other records come before the answer to that. It returns nothing for an empty log.
func (s *stream) lastChunk(ctx context.Context) ([]entry, error) {
	channel, messages, err := s.consume(ctx, -1, maxBatch)
	if err != nil {
		return nil, err
	}
	defer channel.CloseLater()
	firstCtx, cancel := context.WithTimeout(ctx, emptyTime)
	defer cancel()
	message, err := receive(firstCtx, channel, messages)
	if err != nil && firstCtx.Err() != nil && ctx.Err() == nil {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	stopped := make(chan error, 1)
	go func() {
		stopped <- channel.Call(ctx, func() error { return channel.Cancel(consumer, false) })
	}()
	var entries []entry
	for {
		e, err := entryOf(message)
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
		var ok bool
		select {
		case message, ok = <-messages:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if !ok {
			return entries, <-stopped
		}
	}
}

// electionTime is how long each bears a node without a replica, once it had one. RabbitMQ
// tries again after 5 or 10 s if the election of a leader has failed.
const electionTime = 30 * time.Second

// each calls f with each record from an offset on, until ctx or the channel ends. After a
// silence it begins to read anew, see Follower.Renew.
func (s *stream) each(ctx context.Context, begin int64, f func(entry)) (err error) {
	var read time.Time
	for {
		if begin, err = s.eachUntilSilence(ctx, begin, f); err == nil {
			read = time.Now()
			continue
		}
		mayCome := isWithoutReplica(err) && time.Since(read) < electionTime
		if !mayCome || wire.Pause(ctx, lastPause) != nil {
			return err
		}
	}
}

// eachUntilSilence also returns the offset behind what it has read.
func (s *stream) eachUntilSilence(ctx context.Context, next int64, f func(entry)) (int64, error) {
	channel, messages, err := s.consume(ctx, next, prefetch)
	if err != nil {
		return next, err
	}
	defer channel.CloseLater()
	for {
		soon, cancel := context.WithTimeout(ctx, s.silence)
		message, err := receive(soon, channel, messages)
		isSilent := soon.Err() != nil && ctx.Err() == nil
		cancel()
		if err != nil && isSilent {
			return next, nil
		}
		if err != nil {
			return next, err
		}
		e, err := entryOf(message)
		if err != nil {
			return next, err
		}
		next = e.offset + 1
		f(e)
		if err := message.Ack(false); err != nil {
			return next, channel.Reason(err)
		}
	}
}

// consume begins to read a log that exists.
func (s *stream) consume(ctx context.Context, begin int64, ahead int) (
	*wire.Channel, <-chan amqp.Delivery, error,
) {
	channel, err := openChannel(ctx, s.conn)
	if err != nil {
		return nil, nil, err
	}
	messages, err := wire.CallOn(ctx, channel, func() (<-chan amqp.Delivery, error) {
		if err := s.find(channel); err != nil {
			return nil, err
		}
		if err := channel.Qos(ahead, 0, false); err != nil {
			return nil, err
		}
		return channel.Consume(s.queue, consumer, false, false, false, false, consumerArgs(begin))
	})
	if err != nil {
		channel.CloseLater()
		return nil, nil, err
	}
	return channel, messages, nil
}
