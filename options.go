package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/runner"
)

// options is a parsed command line.
type options struct {
	lock    lockOptions
	command []string
	environ []string // as we were given it

	urlFile, passwordFile string

	noWait       bool
	wait         time.Duration // 0: for ever
	conflictCode int
	stopSignal   syscall.Signal
	orphans      runner.Orphans
	verbose      bool
	quiet        bool
	progress     time.Duration // 0: never
	report       string        // a file; "" for none
	metadata     map[string]string
	hideCommand  bool
	json         bool
	watch        bool
	holder       string // of evict
	slots        int    // of change --to
	drain        bool

	id string // of this run
}

// heldLocks is the variable that names the locks of all ancestors.
const heldLocks = "AMQPRUN_LOCKS"

// newID returns what tells this run from every other.
func newID() string {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}

// lockKeys name a lock in AMQPRUN_LOCKS, whose words are separated by spaces: once for each broker, so that the lock is known again by
// one who was told another selection of them.
func (o *options) lockKeys() []string {
	keys := o.lock.Names()
	for i, broker := range keys {
		keys[i] = fmt.Sprintf("%s:%s@%s", o.lock.Kind, url.QueryEscape(o.lock.Name), url.QueryEscape(broker))
	}
	return keys
}

// refuseNested reports a lock that an ancestor of ours holds: to wait for it would be to wait for ever.
func (o *options) refuseNested() error {
	held, keys := strings.Fields(os.Getenv(heldLocks)), o.lockKeys()
	if !slices.ContainsFunc(held, func(key string) bool { return slices.Contains(keys, key) }) {
		return nil
	}
	return &usageError{
		text: fmt.Sprintf("%s %q is already held by a command that this one was started from", o.lock.Kind, o.lock.Name),
		hint: "the outer amqprun holds it for everything it runs; a job that is on its own now drops the variable " + heldLocks,
	}
}

// slotWords is the value of AMQPRUN_SLOTS, and what the file of an elastic set holds. A mutex has one slot, number 1.
func slotWords(slots []int) string {
	words := make([]string, len(slots))
	for i, slot := range slots {
		words[i] = strconv.Itoa(max(slot, 1))
	}
	return strings.Join(words, " ")
}

// environment is what the command gets: ours as it was given, and what it may want to know of the lock.
func (o *options) environment(lock *amqplock.Lock) []string {
	slots := strings.Fields(slotWords(lock.Slots()))
	ours := []string{
		"AMQPRUN_LOCK=" + o.lock.Name,
		"AMQPRUN_KIND=" + string(o.lock.Kind),
		"AMQPRUN_SLOT=" + slots[0],
		"AMQPRUN_SLOTS=" + strings.Join(slots, " "),
		"AMQPRUN_COUNT=" + strconv.Itoa(len(slots)),
		"AMQPRUN_ID=" + o.id,
		heldLocks + "=" + strings.Join(append(strings.Fields(os.Getenv(heldLocks)), o.lockKeys()...), " "),
	}
	env := slices.DeleteFunc(slices.Clone(o.environ), func(entry string) bool {
		return strings.HasPrefix(entry, slotsFileVariable+"=") || slices.ContainsFunc(ours, func(our string) bool { // of a lock around this one
			name, _, _ := strings.Cut(our, "=")
			return strings.HasPrefix(entry, name+"=")
		})
	})
	return append(env, ours...)
}
