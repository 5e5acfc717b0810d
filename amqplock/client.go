package amqplock

import (
	"context"
	"errors"

	"github.com/amqprun/amqprun/amqplock/internal/locker"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/internal/held"
)

// Client takes locks on one broker. It has no connection of its own: each lock has two,
// and each call of another method opens what it needs and closes it. So it need not be
// closed. Its methods may be called at the same time.
type Client struct{ broker wire.Broker }

// New makes a Client. It reads the files of certificates and contacts nothing. The error
// is of kind ErrConfig.
func New(b Broker) (*Client, error) {
	resolved, err := b.wire().Resolve()
	if err != nil {
		return nil, exported(context.Background(), err)
	}
	return &Client{resolved}, nil
}

// Check reports what Acquire would find wrong with its arguments, with an error of kind
// ErrConfig. It contacts nothing.
func (c *Client) Check(lock Ref, opts ...Option) error {
	return exported(context.Background(), c.request(lock, opts).Check())
}

// Acquire takes the lock, waiting for it in the wait queue. It returns when the broker
// has granted the lock and has proven it once.
//
// It waits until ctx ends; then the error matches ErrNotAcquired and the cause of ctx.
// The end of ctx has no effect on a lock that was acquired. A broker that cannot be
// reached at first has Broker.ConnectTimeout to come back. Then the error matches
// ErrUnreachable, and so it does when ctx's deadline passes before any connection. What
// would fail again (a certificate) is an error at once. A refusal (a wrong password) is
// one when it comes again after a second.
//
// After the first connection Acquire waits for a broker that goes away until ctx ends.
// Then it has a new place in the wait queue. A broker that has accepted us before has
// Broker.ConnectTimeout to take a refusal back.
//
// Nothing is left on the broker when it fails, except slots of a semaphore that WithSlots
// has begun to create. To see to that it takes up to four seconds more than ctx has,
// where the broker does not answer.
func (c *Client) Acquire(ctx context.Context, lock Ref, opts ...Option) (*Lock, error) {
	return c.acquire(ctx, lock, opts, locker.Acquire)
}

// TryAcquire is Acquire without the wait: where others hold the lock the error matches
// ErrNotAcquired, and each node of the broker is asked once.
func (c *Client) TryAcquire(ctx context.Context, lock Ref, opts ...Option) (*Lock, error) {
	return c.acquire(ctx, lock, opts, locker.TryAcquire)
}

func (c *Client) acquire(
	ctx context.Context, lock Ref, opts []Option,
	take func(context.Context, locker.Config) (*locker.Holder, error),
) (*Lock, error) {
	r := c.request(lock, opts)
	r.Prefer = held.Preferred(ctx)
	holder, err := take(ctx, r.Config)
	if err != nil {
		return nil, exported(ctx, err)
	}
	return newLock(r.parent, holder), nil
}

func (c *Client) request(lock Ref, opts []Option) request {
	r := request{parent: context.Background()}
	r.Broker, r.Ref = c.broker, wire.Ref(lock)
	for _, opt := range opts {
		opt(&r)
	}
	return r
}

// Do acquires the lock as Acquire does, calls f, and releases the lock. The context of f
// ends with ctx, and when the lock is lost. Do returns the error of Acquire, or that of
// f. A loss, also one that only the release finds, is joined to that of f: it matches
// ErrLost.
func (c *Client) Do(
	ctx context.Context, lock Ref, f func(context.Context) error, opts ...Option,
) (err error) {
	held, err := c.Acquire(ctx, lock, append(opts[:len(opts):len(opts)], WithContext(ctx))...)
	if err != nil {
		return err
	}
	defer func() { // also when f panics
		if lost := held.Release(context.WithoutCancel(ctx)); lost != nil && !errors.Is(err, ErrLost) {
			err = errors.Join(err, lost)
		}
	}()
	return f(held.Context())
}

// Inspect looks at a lock without touching it. A semaphore that does not exist is an
// error that matches ErrNotFound; a mutex that nobody holds is free. Participants have
// half a second to answer, and several seconds if answers keep coming. That they cannot
// be asked is logged and no error.
func (c *Client) Inspect(ctx context.Context, lock Ref) (Status, error) {
	seen, err := locker.Inspect(ctx, c.broker, wire.Ref(lock))
	return newStatus(seen), exported(ctx, err)
}

// InspectAll looks at all locks of the virtual host that have participants, sorted by
// kind and name. Locks that are free, or known to other programs only, are not among
// them. One that cannot be looked at is left out. Where the user may look at none the
// error matches ErrAccess.
func (c *Client) InspectAll(ctx context.Context) ([]Status, error) {
	all, err := locker.InspectAll(ctx, c.broker)
	if err != nil {
		return nil, exported(ctx, err)
	}
	list := make([]Status, len(all))
	for i, seen := range all {
		list[i] = newStatus(seen)
	}
	return list, nil
}

// Look is Inspect without participants: it is done when the broker has answered.
func (c *Client) Look(ctx context.Context, lock Ref) (Status, error) {
	seen, err := locker.Look(ctx, c.broker, wire.Ref(lock))
	return newStatus(seen), exported(ctx, err)
}

// Holders asks the participants alone who holds the lock. It leaves nothing in the
// broker's log, and nothing in Broker.Log, because a waiter may ask again and again.
// Holders that do not answer are missing. For a semaphore it takes at least half a
// second.
func (c *Client) Holders(ctx context.Context, lock Ref) ([]Participant, error) {
	said, err := locker.Said(ctx, c.broker, wire.Ref(lock))
	return holders(said), exported(ctx, err)
}

// Evict makes the holder of lock with that About.ID lose it, as if the broker had taken
// it. The context of its Lock ends. The reason says that it was evicted by by, and
// which user of the broker that was.
//
// Evict returns nil when the holder has confirmed that. The holder keeps the lock until
// its work has stopped. The error matches ErrNotFound where there is no such holder. It
// may have released, only wait, hold another lock, or not be of this program. A waiter
// that keeps some of several slots counts as a holder: its Acquire ends with
// ErrNotAcquired. The error matches ErrUnreachable where the holder does not confirm
// within Broker.ConnectTimeout.
func (c *Client) Evict(ctx context.Context, lock Ref, id, by string) error {
	return exported(ctx, locker.Evict(ctx, c.broker, wire.Ref(lock), id, by))
}

// History reads the last n runs of a lock from its history, those first that began first.
// An n below 1 reads none. Whether a run without an end holds the lock is asked as
// Inspect does. The error matches ErrNotFound where the lock has no history, and
// ErrNotALock where it cannot have one.
func (c *Client) History(ctx context.Context, lock Ref, n int) ([]Run, error) {
	runs, err := locker.History(ctx, c.broker, wire.Ref(lock), n)
	if err != nil {
		return nil, exported(ctx, err)
	}
	list := make([]Run, len(runs))
	for i, run := range runs {
		list[i] = newRun(run)
	}
	return list, nil
}

// FollowHistory calls f with the last n runs, as History returns them, and then with each
// run when it begins (ResultRunning) and when it ends. The calls do not overlap. It
// blocks until ctx ends, and returns nil then, unless it has not come to the first call.
// It returns an error when the connection ends: it does not connect again.
func (c *Client) FollowHistory(ctx context.Context, lock Ref, n int, f func(Run)) error {
	err := locker.Follow(ctx, c.broker, wire.Ref(lock), n, func(run locker.Run) { f(newRun(run)) })
	return exported(ctx, err)
}

// DestroyMutex removes what is left of a mutex that is not used any more: its history.
// One that does not exist is no error. It takes the mutex meanwhile, and waits some
// seconds for it; then the error matches ErrNotAcquired.
func (c *Client) DestroyMutex(ctx context.Context, name string) error {
	return exported(ctx, locker.DestroyMutex(ctx, c.broker, name))
}

// Semaphore is for administration of the semaphore of that name. The methods of the Admin
// return an error of kind ErrConfig for what CheckName refuses.
func (c *Client) Semaphore(name string) *Admin { return &Admin{c.broker, name} }
