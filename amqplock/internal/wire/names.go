package wire

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
)

// Kind is a mutex or a semaphore.
type Kind string

// The two kinds of lock.
const (
	Mutex     Kind = "mutex"
	Semaphore Kind = "semaphore"
)

// Ref names a lock.
type Ref struct {
	Kind Kind
	Name string
}

// String is how messages name the lock.
func (r Ref) String() string { return fmt.Sprintf("%s %q", r.Kind, r.Name) }

// Describe is String with the slots in question, or with how many they are.
func (r Ref) Describe(slots []int) string {
	if r.Kind == Mutex || len(slots) == 0 {
		return r.String()
	}
	if len(slots) == 1 {
		return fmt.Sprintf("slot %d of %s", slots[0], r)
	}
	if len(slots) > maxListed {
		return fmt.Sprintf("%d slots of %s", len(slots), r)
	}
	numbers := strings.Fields(strings.Trim(fmt.Sprint(slots), "[]"))
	last := len(numbers) - 1
	return fmt.Sprintf("slots %s and %s of %s", strings.Join(numbers[:last], ", "), numbers[last], r)
}

// maxListed is how many numbers a message has room for.
const maxListed = 32

// Held is the exclusive queue of a slot, or of the mutex, whose slot is 0. Who owns it
// holds.
func (r Ref) Held(slot int) string {
	if r.Kind == Mutex {
		return r.Name
	}
	return HeldQueue(r.Name, slot)
}

// Fragile reports whether the broker may fail to refuse a request about queue. It cuts
// the text of its 405, which has both names, to 255 bytes. Some releases fail (541, which
// ends the connection) where the text holds a character of several bytes. Questions about
// such a queue go by publishing.
func Fragile(vhost, queue string) bool {
	return !isASCII(vhost) || !isASCII(queue) && len(lockedText)+len(vhost)+len(queue) > 255
}

// lockedText is that of RabbitMQ's 405 without the names.
const lockedText = "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '' " +
	"in vhost ''. It could be originally declared on another connection or the exclusive " +
	"property value does not match that of the original declaration."

// FragileAbsence reports whether the broker may fail in the same way to say that queue
// does not exist. The text of its 404 is shorter.
func FragileAbsence(vhost, queue string) bool {
	text := absence(vhost, queue)
	return !isASCII(text) && len(text) > 255
}

// absence is the text of RabbitMQ's 404.
func absence(vhost, queue string) string {
	return fmt.Sprintf("NOT_FOUND - no queue '%s' in vhost '%s'", queue, vhost)
}

func isASCII(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII })
}

// Check returns an error of kind ErrConfig for a Ref that cannot be a lock.
func (r Ref) Check() error {
	if r.Kind != Mutex && r.Kind != Semaphore {
		return fault.Config("kind of lock %q: neither mutex nor semaphore", r.Kind)
	}
	return CheckName(r.Name)
}

// Witness is the quorum queue, one in each virtual host, that a mutex asks for proof of a
// majority.
const Witness = "amqprun-witness"

// MaxSlots bounds the number of slots of a semaphore, so that the longest suffix has a
// known length.
const MaxSlots = 100_000

// Overshoot is how many slots beyond the highest one known Destroy deletes, as the
// original does: there may be some behind a hole.
const Overshoot = 100

// maxName leaves room for the longest suffix ("-A-100100": MaxSlots and the overshoot of
// Destroy) in the 255 bytes of an AMQP short string. A longer queue name makes amqp091-go
// shut the whole connection down.
const maxName = 255 - len("-A-100100")

// The queues of lock NAME. The names, except for slot 0, the wait queue, the last will
// and the log, are those of amqp-locks-python. How many slots there are is a number of
// queues, because numbers that each client has in a file would disagree.
func SlotQueue(name string, i int) string { return name + "-A-" + strconv.Itoa(i) }
func HeldQueue(name string, i int) string { return name + "-B-" + strconv.Itoa(i) }
func WaitQueue(name string) string        { return name + "-W" }
func WillQueue(name string) string        { return name + "-H" }
func DrainQueue(name string) string       { return name + "-D" }
func LogQueue(name string) string         { return name + "-L" }

// DrainTarget is an exclusive queue of a drain that says how many slots it will leave:
// in binary, by those of TargetBits that exist. They are declared before it, and go after
// it. Their names are those of slots that cannot be, so a drain needs no further
// permission.
func DrainTarget(name string) string { return HeldQueue(name, MaxSlots+1) }

// targetBits is enough for MaxSlots.
const targetBits = 17

// TargetBits are the queues for the bits that are set in n.
func TargetBits(name string, n int) (queues []string) {
	for bit := range targetBits {
		if n&(1<<bit) != 0 {
			queues = append(queues, HeldQueue(name, MaxSlots+2+bit))
		}
	}
	return queues
}

// heldArgs are the arguments of a mutex and of a held slot. They, and "exclusive, not
// durable", are the original's.
func heldArgs() amqp.Table { return amqp.Table{"x-max-length": 0} }

// slotArgs are the arguments of a slot and of the witness: a durable quorum queue. The
// type is explicit because the virtual host's default may differ.
func slotArgs() amqp.Table {
	return amqp.Table{"x-queue-type": "quorum", "x-max-length": 0}
}

// waitExpiry is how long an unused wait queue stays, in milliseconds. So a name that
// nobody uses again leaves nothing behind.
const waitExpiry = 10 * 60 * 1000

// WaitArgs are the arguments of a wait queue.
func WaitArgs() amqp.Table {
	return amqp.Table{
		"x-queue-type":             "classic",
		"x-single-active-consumer": true,
		"x-max-length":             1,
		"x-expires":                waitExpiry,
	}
}

// WillArgs are the arguments of the queue of last wills: what a holder's death puts back
// into it expires at once, into the wait queue.
func WillArgs(name string) amqp.Table {
	return amqp.Table{
		"x-queue-type":              "classic",
		"x-message-ttl":             0,
		"x-dead-letter-exchange":    "",
		"x-dead-letter-routing-key": WaitQueue(name),
		"x-expires":                 waitExpiry,
	}
}

// reservedSuffix returns the end of name that would make it a part of another lock, or
// "".
func reservedSuffix(name string) string {
	for _, suffix := range []string{"-W", "-H", "-D", "-L"} {
		if strings.HasSuffix(name, suffix) {
			return suffix
		}
	}
	stem := strings.TrimRight(name, "0123456789")
	if stem != name && (strings.HasSuffix(stem, "-A-") || strings.HasSuffix(stem, "-B-")) {
		return name[len(stem)-len("-A-"):]
	}
	return ""
}

// CheckName reports why name cannot be the name of a lock; nil means that it can. The
// broker strips CR and LF from a declared name but not from a routing key, answers 403 to
// "amq.", and takes the empty name for "invent one". Each would make two parties believe
// that they hold the same lock, or different ones.
func CheckName(name string) error {
	bad := func(why string) error {
		return fault.Config("lock name %s: %s", QuoteName(name), why)
	}
	switch {
	case name == "":
		return bad("is empty")
	case len(name) > maxName:
		return bad(fmt.Sprintf("is %d bytes long, at most %d are possible", len(name), maxName))
	case !utf8.ValidString(name):
		return bad("is not valid UTF-8")
	case strings.ContainsFunc(name, unicode.IsControl):
		return bad("holds a control character")
	case strings.HasPrefix(name, "amq."):
		return bad(`begins with "amq.", which RabbitMQ keeps for itself`)
	case name == Witness:
		return bad("is the name of amqprun's own witness queue")
	}
	if suffix := reservedSuffix(name); suffix != "" {
		return bad(fmt.Sprintf("ends in %q, which names a part of another lock", suffix))
	}
	return nil
}

// QuoteName keeps an error line readable when the name is very long.
func QuoteName(name string) string {
	if len(name) > 60 {
		name = name[:60] + "..."
	}
	return strconv.Quote(name)
}

// Printable keeps what others have written from driving a terminal: it may be a forgery.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}
