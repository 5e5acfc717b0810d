package amqplock

import (
	"context"

	"github.com/amqprun/amqprun/amqplock/internal/locker"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// Admin changes a semaphore. Its methods hold the administration mutex of the semaphore
// meanwhile: a mutex or an administrator of the same name keeps others out. They wait
// some seconds for it; then the error matches ErrNotAcquired.
type Admin struct {
	broker wire.Broker
	name   string
}

// Adjust changes the number of slots by delta. It creates the semaphore when that does
// not exist and delta is not negative. Slots are added at the end and removed from the
// end, one by one, never below 0; a semaphore with 0 slots is paused. The holder of a
// removed slot loses it. When Adjust fails half-way the slots are still without a hole,
// or there is no semaphore yet. More than MaxSlots is an error of kind ErrConfig.
func (a *Admin) Adjust(ctx context.Context, delta int) error {
	return exported(ctx, locker.Adjust(ctx, a.broker, a.name, delta))
}

// Resize makes exactly n slots, creating the semaphore and mending holes if need be, and
// otherwise does what Adjust does. n is from 0 to MaxSlots; anything else is an error of
// kind ErrConfig.
func (a *Admin) Resize(ctx context.Context, n int) error {
	return exported(ctx, locker.Resize(ctx, a.broker, a.name, n))
}

// Drain removes the last n slots, or all where there are fewer, each when its holder has
// left: no holder loses its slot. One whose connection has ended holds nothing, and
// cannot regain a slot that is removed. While the drain goes on nobody of this program
// takes one of these slots. Drain waits for a holder of the original program that does.
// It blocks until that is done or ctx ends. Interrupted, also by kill -9, it leaves the
// slots that are not drained yet as they are. A second Drain at the same time fails with
// ErrNotAcquired. A negative n is an error of kind ErrConfig.
func (a *Admin) Drain(ctx context.Context, n int) error {
	return exported(ctx, locker.Drain(ctx, a.broker, a.name, n))
}

// DrainTo makes exactly n slots as Resize does, and removes each slot as Drain does. So
// DrainTo with 0 pauses the semaphore and lets its holders finish. From its beginning
// nobody of this program takes a slot that is to be removed. Interrupted, it leaves the
// slots that are not drained yet, and they can be taken again. The next DrainTo does the
// rest. Slots behind a hole are not removed.
func (a *Admin) DrainTo(ctx context.Context, n int) error {
	return exported(ctx, locker.DrainTo(ctx, a.broker, a.name, n))
}

// Destroy removes the semaphore with all its slots, its wait queue and its history; one
// that does not exist is no error. Holders lose their slots, and waiters get ErrNotFound.
// A waiter with WithSlots creates the semaphore anew instead, as any contender does.
func (a *Admin) Destroy(ctx context.Context) error {
	return exported(ctx, locker.Destroy(ctx, a.broker, a.name))
}
