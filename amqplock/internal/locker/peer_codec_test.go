package locker

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	amqp "github.com/rabbitmq/amqp091-go"
)

// The codec of the peer: amqp091-go has one and exports nothing of it.
// https://www.rabbitmq.com/amqp-0-9-1-reference

const (
	frameMethod    = 1
	frameHeader    = 2
	frameBody      = 3
	frameHeartbeat = 8
	frameEnd       = 206
)

// method is the class and the number of a method.
type method [2]uint16

var (
	connectionStart     = method{10, 10}
	connectionTune      = method{10, 30}
	connectionOpenOk    = method{10, 41}
	connectionClose     = method{10, 50}
	connectionCloseOk   = method{10, 51}
	connectionBlocked   = method{10, 60}
	connectionUnblocked = method{10, 61}
	channelOpenOk       = method{20, 11}
	channelClose        = method{20, 40}
	channelCloseOk      = method{20, 41}
	queueDeclareOk      = method{50, 11}
	queueDeleteOk       = method{50, 41}
	basicQosOk          = method{60, 11}
	basicConsumeOk      = method{60, 21}
	basicCancel         = method{60, 30}
	basicReturn         = method{60, 50}
	basicGetEmpty       = method{60, 72}
	basicAck            = method{60, 80}
	confirmSelectOk     = method{85, 11}
)

// methods are those that clients send, under the names that scripts use.
var methods = map[method]string{
	{10, 11}: "start-ok", {10, 31}: "tune-ok", {10, 40}: "open", {10, 50}: "close",
	{10, 51}: "close-ok",
	{20, 10}: "channel.open", {20, 40}: "channel.close", {20, 41}: "channel.close-ok",
	{50, 10}: "declare", {50, 40}: "delete",
	{60, 10}: "qos", {60, 20}: "consume", {60, 30}: "cancel", {60, 40}: "publish",
	{60, 70}: "get", {60, 80}: "ack",
	{85, 10}: "confirm",
}

// longString has four bytes for its length; a string has one.
type longString string

func encode(m method, fields ...any) []byte {
	var b bytes.Buffer
	for _, field := range append([]any{m}, fields...) {
		switch v := field.(type) {
		case string:
			v = v[:min(len(v), 255)]
			b.WriteByte(byte(len(v)))
			b.WriteString(v)
		case longString:
			_ = binary.Write(&b, binary.BigEndian, uint32(len(v)))
			b.WriteString(string(v))
		case amqp.Table: // an empty one
			_ = binary.Write(&b, binary.BigEndian, uint32(0))
		default:
			_ = binary.Write(&b, binary.BigEndian, v)
		}
	}
	return b.Bytes()
}

func readFrame(from io.Reader) (kind byte, channel uint16, payload []byte, err error) {
	var head [7]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return 0, 0, nil, err
	}
	payload = make([]byte, binary.BigEndian.Uint32(head[3:])+1)
	if _, err := io.ReadFull(from, payload); err != nil {
		return 0, 0, nil, err
	}
	last := len(payload) - 1
	if payload[last] != frameEnd {
		return 0, 0, nil, fmt.Errorf("a frame ends in %d", payload[last])
	}
	return head[0], binary.BigEndian.Uint16(head[1:]), payload[:last], nil
}

// parse reads as much of a method as scripts ask about.
func (c *peerConn) parse(channel uint16, payload []byte) *request {
	r := &request{peerConn: c, channel: channel}
	id := method{binary.BigEndian.Uint16(payload), binary.BigEndian.Uint16(payload[2:])}
	r.method = methods[id]
	shortString := func() (s string) {
		s, payload = string(payload[1:1+payload[0]]), payload[1+payload[0]:]
		return s
	}
	switch r.method {
	case "":
		c.t.Errorf("the peer does not know method %d", id)
	case "declare", "delete", "get", "consume", "publish":
		payload = payload[6:] // behind the ids two bytes are reserved
		if r.method == "publish" {
			_ = shortString() // the exchange, always the default one
		}
		r.queue = shortString()
	}
	switch {
	case r.method == "declare" && payload[0]&1 != 0:
		r.method, r.noWait = "look", payload[0]&16 != 0
	case r.method == "declare" && payload[0]&4 != 0:
		r.method = "claim"
	case r.method == "delete":
		r.noWait = payload[0]&4 != 0
	}
	return r
}
