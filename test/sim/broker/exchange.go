package broker

import "strings"

func (s *session) declareExchange(r reader) *exception {
	_ = r.short()
	name, kind, bits := r.shortString(), r.shortString(), r.octet()
	v := s.c.node.view
	is, known := v.exchanges[name]
	switch passive := bits&1 != 0; {
	case !known && passive:
		return noExchange(name)
	case !known && strings.HasPrefix(name, "amq."):
		return refuse(codeAccessRefused,
			"ACCESS_REFUSED - exchange name '%s' contains reserved prefix 'amq.*'", name)
	case !known:
		v.exchanges[name] = kind
	case !passive && is != kind:
		return refuse(codePreconditionFailed, "PRECONDITION_FAILED - inequivalent arg 'type' for "+
			"exchange '%s' in vhost '/': received '%s' but current is '%s'", name, kind, is)
	}
	if bits&16 == 0 {
		s.send(exchangeDeclareOk, nil)
	}
	return nil
}

func (s *session) deleteExchange(r reader) {
	_ = r.short()
	name, bits := r.shortString(), r.octet()
	v := s.c.node.view
	delete(v.exchanges, name)
	delete(v.bindings, name)
	if bits&2 == 0 {
		s.send(exchangeDeleteOk, nil)
	}
}

func (s *session) bind(r reader) *exception {
	_ = r.short()
	queue, exchange, key, bits := r.shortString(), r.shortString(), r.shortString(), r.octet()
	v := s.c.node.view
	q := v.find(queue)
	if q == nil {
		return noQueue(queue)
	}
	if _, known := v.exchanges[exchange]; !known {
		return noExchange(exchange)
	}
	if e := q.lockedTo(s.c); e != nil {
		return e
	}
	v.bindings[exchange] = append(v.bindings[exchange], binding{key, q})
	if bits&1 == 0 {
		s.send(queueBindOk, nil)
	}
	return nil
}
