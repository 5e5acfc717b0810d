package broker

import "fmt"

// request is a method with its arguments, or a message that was published.
type request struct {
	method  method
	args    reader
	message *publishing
}

// target is the queue that a request is about.
func (ch *channel) target(r request) string {
	switch r.method {
	case queueDeclare, queueDelete, basicGet, basicConsume:
		args := r.args
		_ = args.short()
		return args.shortString()
	case basicPublish:
		return r.message.key
	}
	return ""
}

// stalls reports whether a request waits for a majority that there is not.
func (ch *channel) stalls(r request) bool {
	if !ch.c.node.stalled {
		return false
	}
	switch r.method {
	case basicGet:
		q := ch.c.node.view.queues[ch.target(r)]
		return q != nil && q.kind == quorum
	case queueDeclare:
		d := readDeclaration(r.args)
		kind, isNew := d.args["x-queue-type"], ch.c.node.view.queues[d.name] == nil
		return !d.passive && (kind == string(quorum) ||
			isNew && (kind == string(stream) || ch.c.b.options.Release == V43))
	case queueDelete:
		return ch.c.b.options.Release == V43
	}
	return false
}

// handle has the effect of a request, and answers.
func (ch *channel) handle(r request) {
	ch.c.current = r.method
	switch r.method {
	case channelOpen:
		ch.send(channelOpenOk, func(w *writer) { w.longString("") })
	case channelClose:
		ch.drop()
		delete(ch.c.channels, ch.number)
		ch.send(channelCloseOk, nil)
	case exchangeDeclare:
		ch.declareExchange(r.args)
	case exchangeDelete:
		ch.deleteExchange(r.args)
	case queueDeclare:
		ch.declare(r.args)
	case queueBind:
		ch.bind(r.args)
	case queueDelete:
		ch.delete(r.args)
	case basicQos:
		_ = r.args.long()
		ch.prefetch = int(r.args.short())
		ch.send(basicQosOk, nil)
	case basicConsume:
		ch.consume(r.args)
	case basicCancel:
		ch.cancel(r.args)
	case basicPublish:
		ch.publish(r.message)
	case basicGet:
		ch.get(r.args)
	case basicAck:
		tag := r.args.double()
		ch.settle(tag, r.args.octet()&1 != 0, acknowledged)
	case basicReject:
		tag := r.args.double()
		ch.settle(tag, false, refused(r.args.octet()&1 != 0))
	case basicNack:
		tag, bits := r.args.double(), r.args.octet()
		ch.settle(tag, bits&1 != 0, refused(bits&2 != 0))
	case confirmSelect:
		ch.confirms = true
		if r.args.octet()&1 == 0 {
			ch.send(confirmSelectOk, nil)
		}
	default:
		ch.c.fail(codeNotImplemented, fmt.Sprintf("NOT_IMPLEMENTED - method %d", r.method))
	}
}
