package broker

import (
	"fmt"
	"strings"
)

func (ch *channel) declareExchange(r reader) {
	_ = r.short()
	name, kind, bits := r.shortString(), r.shortString(), r.octet()
	v := ch.c.node.view
	is, known := v.exchanges[name]
	switch passive := bits&1 != 0; {
	case !known && passive:
		ch.fail(codeNotFound, noExchange(name))
		return
	case !known && strings.HasPrefix(name, "amq."):
		ch.fail(codeAccessRefused, fmt.Sprintf("ACCESS_REFUSED - exchange name '%s' contains reserved "+
			"prefix 'amq.*'", name))
		return
	case !known:
		v.exchanges[name] = kind
	case !passive && is != kind:
		ch.fail(codePreconditionFailed, fmt.Sprintf("PRECONDITION_FAILED - inequivalent arg 'type' for "+
			"exchange '%s' in vhost '/': received '%s' but current is '%s'", name, kind, is))
		return
	}
	if bits&16 == 0 {
		ch.send(exchangeDeclareOk, nil)
	}
}

func (ch *channel) deleteExchange(r reader) {
	_ = r.short()
	name, bits := r.shortString(), r.octet()
	v := ch.c.node.view
	delete(v.exchanges, name)
	delete(v.bindings, name)
	if bits&2 == 0 {
		ch.send(exchangeDeleteOk, nil)
	}
}

func (ch *channel) bind(r reader) {
	_ = r.short()
	queue, exchange, key, bits := r.shortString(), r.shortString(), r.shortString(), r.octet()
	v := ch.c.node.view
	q := v.find(queue)
	if _, known := v.exchanges[exchange]; q != nil && !known {
		ch.fail(codeNotFound, noExchange(exchange))
		return
	}
	if q == nil {
		ch.fail(codeNotFound, noQueue(queue))
		return
	}
	if !ch.mayUse(q) {
		return
	}
	v.bindings[exchange] = append(v.bindings[exchange], binding{key, q})
	if bits&1 == 0 {
		ch.send(queueBindOk, nil)
	}
}
