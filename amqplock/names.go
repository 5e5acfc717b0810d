package amqplock

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	amqp "github.com/rabbitmq/amqp091-go"
)

// witness is the quorum queue, one per virtual host, that a mutex asks for proof of a majority.
const witness = "amqprun-witness"

// MaxSlots bounds the number of slots of a semaphore, so that the longest suffix has a known length.
const MaxSlots = 100_000

// maxName leaves room for the longest suffix ("-A-100100": MaxSlots and the overshoot of Destroy) in the 255 bytes of
// an AMQP short string. A longer queue name makes amqp091-go shut the whole connection down.
const maxName = 255 - len("-A-100100")

// The queues of lock NAME. The names, but for slot 0, the line and the tripwire, are those of amqp-locks-python.
func slotQueue(name string, i int) string { return name + "-A-" + strconv.Itoa(i) }
func heldQueue(name string, i int) string { return name + "-B-" + strconv.Itoa(i) }
func lineQueue(name string) string        { return name + "-W" }
func tripQueue(name string) string        { return name + "-H" }
func drainQueue(name string) string       { return name + "-D" }

// holdArgs are the arguments of a mutex and of a held slot. They, and "exclusive, not durable", are the original's.
func holdArgs() amqp.Table { return amqp.Table{"x-max-length": 0} }

// slotArgs are the arguments of a slot and of the witness: a durable quorum queue. The type is explicit because the virtual
// host's default may differ.
func slotArgs() amqp.Table {
	return amqp.Table{"x-queue-type": "quorum", "x-max-length": 0}
}

// lineExpiry is how long an unused waiting line stays, in milliseconds.
const lineExpiry = 10 * 60 * 1000

func lineArgs() amqp.Table {
	return amqp.Table{
		"x-queue-type":             "classic",
		"x-single-active-consumer": true,
		"x-max-length":             1,
		"x-expires":                lineExpiry,
	}
}

func tripArgs(name string) amqp.Table {
	return amqp.Table{
		"x-queue-type":              "classic",
		"x-message-ttl":             0,
		"x-dead-letter-exchange":    "",
		"x-dead-letter-routing-key": lineQueue(name),
		"x-expires":                 lineExpiry,
	}
}

// reservedSuffix returns the end of name that would make it a part of another lock, or "".
func reservedSuffix(name string) string {
	for _, suffix := range []string{"-W", "-H", "-D"} {
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

// CheckName reports why name cannot be the name of a lock; nil means that it can.
// The broker would strip CR and LF from a declared name but not from a routing key, answer 403 to "amq.", and take the
// empty name for "invent one": each would make two parties believe they hold the same lock, or different ones.
func CheckName(name string) error {
	bad := func(why string) error {
		return &Error{Kind: ErrConfig, Text: fmt.Sprintf("lock name %s: %s", quoteName(name), why)}
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
	case name == witness:
		return bad("is the name of amqprun's own witness queue")
	}
	if suffix := reservedSuffix(name); suffix != "" {
		return bad(fmt.Sprintf("ends in %q, which names a part of another lock", suffix))
	}
	return nil
}

// quoteName keeps an error line readable when the name is very long.
func quoteName(name string) string {
	if len(name) > 60 {
		name = name[:60] + "..."
	}
	return strconv.Quote(name)
}

// shellWord is the name as one word of a command line.
func shellWord(name string) string {
	if strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:@%+,-") == "" {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}
