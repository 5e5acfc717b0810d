package job

import (
	"syscall"
	"time"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/runner"
)

// Spec is a job. Check completes it.
type Spec struct {
	Began   time.Time // the start of amqprun
	ID      string    // no other run has it
	Command []string  // the program and its arguments; not empty

	Broker        amqplock.Broker
	Lock          amqplock.Ref
	Slots         int // with which to create a semaphore; 0: do not create one
	Count         int // 0: one
	Greedy        bool
	Priority      int           // among waiters
	Elastic       bool          // and greedy
	CheckInterval time.Duration // 0: the default
	StopTime      time.Duration

	NoWait   bool
	Wait     time.Duration // 0: for ever
	Conflict int           // the exit status when the lock was not acquired

	OnLoss     OnLoss
	Regain     time.Duration // with Pause
	StopSignal syscall.Signal
	Orphans    runner.Orphans

	Progress time.Duration // between two messages of a wait; 0: none
	Report   string        // a path; empty: none
	Shown    string        // what others may know of the command
	Metadata map[string]string
	History  bool
	Fence    bool          // and history
	Once     time.Duration // and fence; 0: as often as wanted
	Verbose  bool

	client *amqplock.Client // of Check
}

// OnLoss is what becomes of the command when the lock connection ends, or the
// broker falls silent.
type OnLoss int

const (
	Stop  OnLoss = iota // stop the command
	Pause               // stop it by SIGSTOP until the lock is held again
	Keep                // let it go on without the lock, and take that again
)
