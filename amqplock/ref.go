package amqplock

import (
	"context"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// Kind is a mutex or a semaphore. The zero value is neither.
type Kind = wire.Kind

// The two kinds of lock.
const (
	KindMutex     Kind = wire.Mutex
	KindSemaphore Kind = wire.Semaphore
)

// Ref names a lock. A mutex and a semaphore of one name are two locks.
type Ref struct {
	Kind Kind
	Name string
}

// Mutex names a lock that one holder has at a time.
func Mutex(name string) Ref { return Ref{KindMutex, name} }

// Semaphore names a lock with a number of slots, each of which one holder has at a time.
func Semaphore(name string) Ref { return Ref{KindSemaphore, name} }

// String is how messages name the lock: `mutex "nightly"`.
func (r Ref) String() string { return wire.Ref(r).String() }

// MaxSlots, 100,000, bounds the number of slots of a semaphore.
const MaxSlots = wire.MaxSlots

// CheckName reports why name cannot be the name of a lock, with an error of kind
// ErrConfig; nil means that it can. A name is valid UTF-8 of 1 to 246 bytes without
// control characters. It does not begin with "amq.", and does not end like a part of
// another lock (-W, -H, -D, -L, -A-1, -B-1).
func CheckName(name string) error { return exported(context.Background(), wire.CheckName(name)) }
