package amqplock

import (
	"cmp"
	"context"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/locker"
	"github.com/amqprun/amqprun/amqplock/internal/presence"
	"github.com/amqprun/amqprun/amqplock/internal/waitq"
)

// Option says how to take a lock. Of two that contradict each other the later one counts.
type Option func(*request)

// request is a lock to take.
type request struct {
	locker.Config
	parent context.Context // of Lock.Context
}

// WithCount takes n slots of a semaphore, all or none. Without it a lock is one slot. The
// wait of one that wants several cannot block others that want several for ever: only the
// first in the wait queue keeps a part.
//
// With All these are all slots that there are at the grant, however many were added or
// removed during the wait. So the holder is alone, and a semaphore is a lock for readers,
// who take one slot, and writers. While All is held nobody of this program adds slots:
// Admin.Adjust and Admin.Resize end with ErrNotAcquired, unless the administrator lacks
// configure on NAME-B-0. The holder loses a slot that is removed, as always.
func WithCount(n int) Option { return func(r *request) { r.Count = n } }

// All is for WithCount: all slots that there are.
const All = locker.All

// WithGreedy takes all slots of a semaphore that are free, at least one. It excludes
// WithCount.
func WithGreedy() Option { return func(r *request) { r.Greedy = true } }

// WithElastic is WithGreedy, and goes on: the lock takes slots that come free, and lets
// go of slots that are removed. It is lost with its last slot. changed, if not nil, is
// called with the slots held, ascending, after each change. Its calls do not overlap, the
// last one has the newest slots, and it must not block.
func WithElastic(changed func(slots []int)) Option {
	return func(r *request) { r.Greedy, r.Elastic, r.OnChange = true, true, changed }
}

// WithPriority makes a waiter of a higher n go before those of a lower one, whenever it
// came. Of one priority the first comes first. Without it n is 0. It says nothing about
// holders, which nobody makes stop. Those of a low priority wait for as long as others
// come.
//
// n is from -MaxPriority to MaxPriority; anything else is an error of kind ErrConfig.
// These are enough for people to leave gaps, and so few that a number meant for something
// else, such as a time, is noticed.
//
// The first in the wait queue steps back for one of a higher priority that joins. That
// takes some milliseconds. If the higher one is not above 0 it takes a third of a second,
// and longer where the broker is slow. If the lock comes free meanwhile, the lower one
// may get it.
//
// Waiters learn of the priorities of others by WithAbout. A waiter without it is served
// in its turn, but Waiting.Ahead of others does not count it. When the first in
// the wait queue is frozen, others may overtake it.
func WithPriority(n int) Option { return func(r *request) { r.Priority = n } }

// MaxPriority, 100, bounds WithPriority.
const MaxPriority = locker.MaxPriority

// WithSlots creates the semaphore with n slots where it does not exist. It never resizes
// one, and logs a warning where it has another number of slots. It excludes mutexes.
func WithSlots(n int) Option { return func(r *request) { r.Slots = n } }

// WithHistory records the grant and the end of the lock in its history, with what
// WithAbout says; without that, under a random ID. It is best effort: a record that
// cannot be written is logged as a warning, takes three seconds at most, and never costs
// the lock. The first record makes the history.
func WithHistory() Option { return func(r *request) { r.History = true } }

// WithFence is WithHistory, and makes Lock.Token: a number that is larger with each grant
// of this lock. The grant is in the history before Acquire returns, or Acquire fails.
// Without a permission the error matches ErrAccess. Where a queue is in the way, or the
// broker has no streams, it matches ErrNotALock. In an alarm of the broker a waiter
// waits, and TryAcquire returns ErrUnreachable. It excludes WithElastic.
//
// A cluster of RabbitMQ before 4.3 may grant a lock twice. There the lock is lost when
// the history has a newer grant of one of its slots. Acquire waits half a second for an
// earlier run that has left no end. If that run is alive, Acquire waits for its end. Two
// runs with the same WithAbout ID count as one.
func WithFence() Option { return func(r *request) { r.Fence = true } }

// WithOnce is WithFence. Acquire fails with ErrNotAcquired if a run under this mutex
// ended within period: the history has it with the result "ended" and status 0. The error
// says when, and where. Runs that failed, or left no end, do not count. The time is
// the broker's, as far as the other run was fenced. It excludes semaphores. A period of
// 0 or less is an error of kind ErrConfig.
func WithOnce(period time.Duration) Option { return func(r *request) { r.Once = given(period) } }

// given makes of 0 a time that is refused: in a Config 0 means that none was given.
func given(d time.Duration) time.Duration { return cmp.Or(d, -1) }

// WithCheckInterval sets the pause between two checks that the lock is held, 10 ms or
// more. 0 means DefaultCheckInterval.
func WithCheckInterval(d time.Duration) Option { return func(r *request) { r.CheckInterval = d } }

// WithStopTime sets how long the holder needs to stop its work, 0 without it. Where the
// broker falls silent, Lock.Context ends so long before others may get the lock. The
// stop time and the check interval together can be at most 1.4 heartbeats.
func WithStopTime(d time.Duration) Option { return func(r *request) { r.StopTime = d } }

// WithContext makes Lock.Context derive from parent. The end of parent is no loss: the
// lock is checked and held until Release. Without it the parent is context.Background.
func WithContext(parent context.Context) Option { return func(r *request) { r.parent = parent } }

// OnWaiting has f called when Acquire begins to wait, and at each change of what it knows
// about that. The calls do not overlap, and f must not block.
func OnWaiting(f func(Waiting)) Option {
	return func(r *request) { r.OnWaiting = func(w waitq.Waiting) { f(Waiting(w)) } }
}

// Waiting is what a waiter knows of its wait.
type Waiting struct {
	// Why is empty where others hold the lock. Else it is what is unusual: "it is paused
	// (0 slots)".
	Why string
	// Ahead is how many wait before us at most: those of a higher priority, and those of the
	// same that came before us. It is 0 where we are first, and -1 where there is no wait
	// queue, or we are not in it yet. It is as old as the newest look, up to five minutes
	// far behind. One of a higher priority that has joined since then is not in it.
	Ahead int
}

// WithAbout says what Inspect shows of this holder or waiter. Without it Inspect does
// not show it, and Evict cannot stop it. Another goroutine calls f, at most once for
// each connection to the broker. Without WithHistory it does so only for runs of a fifth
// of a second or more.
func WithAbout(f func() About) Option {
	return func(r *request) { r.About = func() presence.About { return presence.About(f()) } }
}
