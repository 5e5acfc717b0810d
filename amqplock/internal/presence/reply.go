package presence

import (
	"encoding/base64"
	"encoding/binary"
	"regexp"
	"strings"
	"sync"

	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// replyPrefix begins the addresses of direct reply-to. Answers go nowhere else: a
// question must not make a participant publish, with its own permissions, to a queue of
// the asker's choice.
const replyPrefix = "amq.rabbitmq.reply-to"

// mayAnswer reports whether an answer may go to an address. RabbitMQ before 4.2 fails
// (541) at one that it has not made, and closes the connection of whoever publishes to
// it. That would cost a waiter its place. Later ones take it for a queue that is gone.
//
// 3.10 also fails at an address that is well made and names a node that is not there. We
// cannot know the nodes.
func mayAnswer(c *wire.Conn, address string) bool {
	return strings.HasPrefix(address, replyPrefix) && (!c.Before(4, 2) || isGenuine(address))
}

// isGenuine reports whether an address is as RabbitMQ makes them: a process and a key,
// both in base64. Its node has a name that was made of a hash.
func isGenuine(address string) bool {
	process, key, _ := strings.Cut(strings.TrimPrefix(address, replyPrefix+"."), ".")
	_, err := base64.StdEncoding.DecodeString(key)
	encoded, processErr := base64.StdEncoding.DecodeString(process)
	return err == nil && key != "" && processErr == nil && isProcess(encoded)
}

// hashedNode is made at the first question: each start of amqprun and of its guard would
// pay for it.
var hashedNode = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[a-z]+@[0-9]{1,10}$`)
})

// isProcess reads Erlang's external term format: 131, NEW_PID_EXT, an atom with a length
// of one byte or two, and then number, serial and creation. Erlang refuses numbers that
// no process has, from 2^28 on. Up to version 25 it refuses those from 2^15 on, and
// serials from 2^13 on. But an address may come from a node with another version.
func isProcess(term []byte) bool {
	if len(term) < 5 || term[0] != 131 || term[1] != 88 {
		return false
	}
	var length int
	var rest []byte
	switch term[2] {
	case 118:
		length, rest = int(binary.BigEndian.Uint16(term[3:])), term[5:]
	case 119:
		length, rest = int(term[3]), term[4:]
	default:
		return false
	}
	if len(rest) != length+12 || !hashedNode().Match(rest[:length]) {
		return false
	}
	return binary.BigEndian.Uint32(rest[length:]) < 1<<28
}
