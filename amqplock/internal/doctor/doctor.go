// Package doctor asks a broker whether locks can work there. It leaves nothing on the
// broker but lines in its log about refused requests.
package doctor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/lease"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// Examine asks everything that can be asked. A ref without a name is no lock: then the
// permissions on its queues are left out. Without a connection that is the one finding.
func Examine(ctx context.Context, b wire.Broker, ref wire.Ref) []Finding {
	begun := time.Now()
	link, err := wire.Connect(ctx, b)
	if err != nil {
		return []Finding{failed("broker", err)}
	}
	e := &examination{ctx: ctx, link: link, ref: ref}
	defer func() { e.link.Close() }()
	e.add(Finding{Check: "broker", Level: OK, Text: fmt.Sprintf("%s accepts the login of %s in %s",
		link.Lock.Broker, e.user(), wire.Took(begun))})
	e.add(version(fmt.Sprint(link.Lock.Properties["version"])))
	e.timing()
	e.heartbeat()
	e.publishing()
	e.permissions()
	return e.findings
}

// version judges what a version of RabbitMQ promises.
func version(text string) Finding {
	f := Finding{Check: "version", Level: OK, Text: "RabbitMQ " + text}
	var v [3]int
	n, _ := fmt.Sscanf(text, "%d.%d.%d", &v[0], &v[1], &v[2])
	switch {
	case n < 2:
		f.Level, f.Text = Warning, f.Text+": this version is not known"
	case slices.Compare(v[:], []int{4, 3, 0}) < 0:
		f.Level = Warning
		f.Text += ": nodes of a cluster that use Mnesia can grant a lock twice after a fault"
		f.Fix = "with a cluster: RabbitMQ 4.3.3 or later; see " +
			wire.Manual + "explanation/guarantees.md"
	case slices.Compare(v[:], []int{4, 3, 3}) < 0:
		f.Level = Warning
		f.Text += ": a cluster that is cut in parts can commit too early"
		f.Fix = "with a cluster: RabbitMQ 4.3.3 or later"
	}
	return f
}

// slow is a round trip that leaves a check too little of its time.
const slow = time.Second

func (e *examination) timing() {
	var times []time.Duration
	for range 5 {
		begun := time.Now()
		err := e.do("ask for a queue", func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclarePassive("amq.doctor-"+rand.Text(), false, false, false, false, nil)
			if wire.Code(err) == amqp.AccessRefused { // RabbitMQ 4.3, and as quick
				return nil
			}
			return answered(err)
		})
		if err != nil {
			e.add(failed("round trip", err))
			return
		}
		times = append(times, time.Since(begun))
	}
	slices.Sort(times)
	f := Finding{Check: "round trip", Level: OK,
		Text: fmt.Sprintf("median %s, longest %s", round(times[2]), round(times[4]))}
	if times[2] > slow {
		f.Level, f.Fix = Warning, "a longer --heartbeat and --check-interval leave more time"
	}
	e.add(f)
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

func (e *examination) heartbeat() {
	got, want := e.link.Lock.Config.Heartbeat, e.link.Broker.Heartbeat
	f := Finding{Check: "heartbeat", Level: OK,
		Text: fmt.Sprintf("%s: after a silence of %s a lock is lost", got, 2*got-got/10)}
	if got < want {
		f.Level = Warning
		f.Text += fmt.Sprintf("; the broker insists on less than the %s asked for", want)
		f.Fix = fmt.Sprintf("heartbeat in rabbitmq.conf; runs end with 69 where --check-interval and "+
			"--kill-after are more than %s together", lease.Room(got))
	}
	e.add(f)
}

// publishing looks for an alarm, and for the permission to publish.
func (e *examination) publishing() {
	_, err := e.link.Missing(e.ctx, "amq.doctor-"+rand.Text())
	needed := e.ref.Kind == wire.Semaphore
	var alarm *wire.AlarmError
	switch {
	case err == nil:
		e.add(Finding{Check: "alarm", Level: OK, Text: "none: the broker takes messages"})
		e.permission(write, defaultExchange, true, needed, "")
	case errors.As(err, &alarm):
		f := failed("alarm", err)
		f.Fix = "free what rabbitmqctl status names, or allow more: " +
			"rabbitmqctl set_vm_memory_high_watermark 0.8, rabbitmqctl set_disk_free_limit 50MB"
		if !needed {
			f.Level, f.Err = Warning, nil
			f.Text += "; mutexes work, and waiters find out late that one is free"
		}
		e.add(f)
	case wire.Code(err) == amqp.AccessRefused:
		e.permission(write, defaultExchange, false, needed, "")
	default:
		e.add(failed("alarm", err))
	}
}
