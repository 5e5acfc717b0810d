package amqplock

import (
	"context"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Status is what can be seen of a lock from outside, at about one instant. Slots is 1 for a mutex; Held + Free = Slots, where a slot about
// which the broker could not tell counts as held.
type Status struct {
	Kind  Kind   `json:"kind"`
	Name  string `json:"name"`
	Slots int    `json:"slots"`
	Held  int    `json:"held"`
	Free  int    `json:"free"`
}

// Inspect looks at a lock without touching it. A semaphore that does not exist is an error that matches ErrNotFound; a mutex that nobody
// holds is free. Of cfg only Broker, Kind, Name and Logf count.
func Inspect(ctx context.Context, cfg Config) (Status, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return Status{}, err
	}
	s, err := connect(ctx, cfg)
	if err != nil {
		return Status{}, err
	}
	defer s.drop()
	status := Status{Kind: cfg.Kind, Name: cfg.Name, Slots: 1}
	if cfg.Kind == Mutex {
		err := s.timed(ctx, "look at "+s.lockName(), func() error { return s.own.look(cfg.Name) })
		switch {
		case err == nil:
			return status, notALock(cfg.Name, s.hold.broker)
		case code(err) == amqp.ResourceLocked:
			status.Held = 1
		case absent(err):
			status.Free = 1
		default:
			return status, err
		}
		return status, nil
	}
	found, err := s.survey(ctx)
	if err == nil && !found.known {
		err = noSemaphore(cfg.Name, s.hold.broker)
	}
	if err != nil {
		return status, err
	}
	s.farewell()
	status.Slots, status.Held, status.Free = found.count, found.held, len(found.free)
	return status, nil
}

func notALock(queue, broker string) error {
	return &Error{
		Kind: ErrNotALock,
		Text: fmt.Sprintf("queue %q on %s is not exclusive: it is a work queue, no lock", queue, broker),
		Hint: "choose another lock name",
	}
}
