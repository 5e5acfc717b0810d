package locker

import (
	"cmp"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
)

// serve answers as a broker in good health.
func (r *request) serve() {
	owner, exists := r.queues[r.queue]
	switch r.method {
	case "claim", "look", "declare", "get", "delete", "consume":
		if owner != nil && owner != r.peerConn || r.method == "claim" && exists && owner == nil {
			r.closeChannel(
				amqp.ResourceLocked,
				fmt.Sprintf("RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '%s'", r.queue),
			)
			return
		}
		if !exists && (r.method == "look" || r.method == "get" || r.method == "consume") {
			r.closeChannel(amqp.NotFound, fmt.Sprintf("NOT_FOUND - no queue '%s' in vhost '/'", r.queue))
			return
		}
	}
	switch r.method {
	case "start-ok":
		r.send(0, connectionTune, cmp.Or(r.channels, 2047), uint32(131072), r.heartbeat)
	case "open":
		r.send(0, connectionOpenOk, "")
	case "close":
		r.send(0, connectionCloseOk)
	case "channel.open":
		r.send(r.channel, channelOpenOk, longString(""))
	case "channel.close":
		r.send(r.channel, channelCloseOk)
	case "claim":
		r.queues[r.queue] = r.peerConn
		r.declareOk()
	case "declare":
		r.queues[r.queue] = owner
		r.declareOk()
	case "look":
		if !r.noWait {
			r.declareOk()
		}
	case "delete":
		delete(r.queues, r.queue)
		if !r.noWait {
			r.send(r.channel, queueDeleteOk, uint32(0))
		}
	case "qos":
		r.send(r.channel, basicQosOk)
	case "consume":
		r.consumers[r.queue]++
		r.send(r.channel, basicConsumeOk, fmt.Sprintf("tag-%d", r.channel))
	case "get":
		r.send(r.channel, basicGetEmpty, "")
	case "confirm":
		r.send(r.channel, confirmSelectOk)
		r.confirms[r.channel] = 0
	case "publish":
		if !exists {
			r.giveBack()
		}
		if tag, confirms := r.confirms[r.channel]; confirms {
			r.send(r.channel, basicAck, tag, byte(0))
		}
	}
}

func (r *request) declareOk() {
	consumers := uint32(0)
	for _, c := range r.conns {
		if c.open() {
			consumers += c.consumers[r.queue]
		}
	}
	r.send(r.channel, queueDeclareOk, r.queue, uint32(0), consumers)
}

// giveBack returns a message that could not be routed.
func (r *request) giveBack() {
	r.send(r.channel, basicReturn, uint16(amqp.NoRoute), "NO_ROUTE", "", r.queue)
	r.frame(frameHeader, r.channel, r.content)
}

func (r *request) closeChannel(code uint16, text string) {
	r.closing[r.channel] = true
	r.send(r.channel, channelClose, code, text, uint16(0), uint16(0))
}

func (c *peerConn) closeConnection(code uint16, text string) {
	c.send(0, connectionClose, code, text, uint16(0), uint16(0))
}

// alarm says that nothing more is read from the connection, and keeps to it.
func (c *peerConn) alarm(reason string) {
	c.send(0, connectionBlocked, reason)
	c.blocked = true
}

// alarmOver is the end of that.
func (c *peerConn) alarmOver() {
	c.blocked = false
	c.send(0, connectionUnblocked)
}

// stall never answers this request, nor those behind it on the channel.
func (r *request) stall() { r.stalled[r.channel] = true }

// cut ends the connection without a word.
func (c *peerConn) cut() { _ = c.socket.Close() }
