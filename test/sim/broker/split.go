package broker

import (
	"maps"
	"slices"
)

// fork is a copy with queues of its own. Consumers stay with the original.
func (v *view) fork() *view {
	copied := newView()
	for name, q := range v.queues {
		other := *q
		other.view, other.consumers, other.active = copied, slices.Clone(q.consumers), q.active
		other.ready = slices.Clone(q.ready)
		if q.log != nil {
			other.log = &log{slices.Clone(q.log.messages), q.log.chunk, q.log.last}
		}
		copied.queues[name] = &other
	}
	maps.Copy(copied.exchanges, v.exchanges)
	for name, all := range v.bindings {
		for _, b := range all {
			copied.bindings[name] = append(copied.bindings[name],
				binding{b.key, copied.queues[b.queue.name]})
		}
	}
	return copied
}

// keep lets a view have the consumers of its own connections only, and no other view
// have them.
func (v *view) keep(own func(*owner) bool) {
	for _, q := range v.sorted() {
		var kept, gone []*consumer
		for _, m := range q.consumers {
			if own(m.c) {
				kept = append(kept, m)
			} else {
				gone = append(gone, m)
			}
		}
		if len(kept) > 0 {
			was := kept[0].queue // that of all consumers of q
			for _, m := range kept {
				m.queue = q
			}
			was.lose(kept)
		}
		q.lose(gone)
	}
}

// lose is leave for consumers that are out of reach. A durable queue that goes with them
// stays: its node is down.
func (q *queue) lose(out []*consumer) {
	q.homeless = q.homeless || len(out) > 0 && q.durable && q.autoDelete
	q.leave(out...)
}

// forget deletes the exclusive queues of all but some connections.
func (v *view) forget(but func(*owner) bool) {
	for _, q := range v.sorted() {
		if q.owner != nil && !but(q.owner) {
			q.remove(SplitOff)
		}
	}
}

// sorted are the queues by name.
func (v *view) sorted() []*queue {
	all := make([]*queue, 0, len(v.queues))
	for _, name := range slices.Sorted(maps.Keys(v.queues)) {
		all = append(all, v.queues[name])
	}
	return all
}
