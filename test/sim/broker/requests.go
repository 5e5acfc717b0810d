package broker

import "time"

// request is a method with its arguments, or a message that was published.
type request struct {
	method  method
	args    reader
	message *publishing
}

// target is the queue that a request is about.
func (r request) target() string {
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
func (s *session) stalls(r request) bool {
	if !s.c.node.stalled {
		return false
	}
	queues, release := s.c.node.view.queues, s.c.engine.options.Release
	switch r.method {
	case basicGet:
		q := queues[r.target()]
		return q != nil && q.kind() == quorum
	case queueDeclare:
		d := readDeclaration(r.args)
		kind, isNew := d.kind(), queues[d.name] == nil
		return !d.passive && (kind == quorum || isNew && (kind == stream || release == V43))
	case queueDelete:
		return release == V43
	}
	return false
}

// handle has the effect of a request, and answers. The channel is busy for a while after
// that.
func (s *session) handle(r request) (busy time.Duration, e *exception) {
	switch r.method {
	case exchangeDeclare:
		e = s.declareExchange(r.args)
	case exchangeDelete:
		s.deleteExchange(r.args)
	case queueDeclare:
		return s.declare(r.args)
	case queueBind:
		e = s.bind(r.args)
	case queueDelete:
		e = s.delete(r.args)
	case basicQos:
		_ = r.args.long()
		s.prefetch = int(r.args.short())
		s.send(basicQosOk, nil)
	case basicConsume:
		e = s.consume(r.args, s.declared)
	case basicCancel:
		s.cancel(r.args)
	case basicPublish:
		e = s.publish(r.message, s.replyKey)
	case basicGet:
		e = s.get(r.args, s.declared)
	case basicAck:
		tag := r.args.double()
		e = s.deliveries.settle(tag, r.args.octet()&1 != 0, acknowledged)
	case basicReject:
		tag := r.args.double()
		e = s.deliveries.settle(tag, false, refused(r.args.octet()&1 != 0))
	case basicNack:
		tag, bits := r.args.double(), r.args.octet()
		e = s.deliveries.settle(tag, bits&1 != 0, refused(bits&2 != 0))
	case confirmSelect:
		s.confirms = true
		if r.args.octet()&1 == 0 {
			s.send(confirmSelectOk, nil)
		}
	default:
		e = refuseAll(codeNotImplemented, "NOT_IMPLEMENTED - method %d", r.method)
	}
	return 0, e
}
