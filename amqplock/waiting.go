package amqplock

import "context"

// Waiting is what one who waits for a lock knows.
type Waiting struct {
	Why   string // empty: others hold the lock; else what is unusual: "it is paused (0 slots)"
	Ahead int    // at most so many stand before us in the line; 0: we are first; -1: there is no line, or we are not in it yet
}

// moveUp asks how many stand in the line: of those ahead of us no more than the others can be left. The broker does not tell an order.
func (s *session) moveUp(ctx context.Context, place *line) {
	if s.first || s.ahead == 0 {
		return
	}
	n, err := timedFor(ctx, s, "look at the waiting line", func(context.Context) (int, error) {
		return declareLine(place.channel, s.cfg.Name)
	})
	if err == nil {
		s.ahead = min(s.ahead, max(n-1, 0))
	}
}

// tellWaiting tells what has changed since it was called before. Without a place in the line that is nil.
func (s *session) tellWaiting(place *line) {
	now := Waiting{Ahead: -1}
	if s.why != errBusy { //nolint:errorlint // an error that wraps it says more
		now.Why = s.why.Error()
	}
	switch {
	case place == nil:
		s.who.joins(false)
	case s.first:
		now.Ahead = 0
	default:
		now.Ahead = s.ahead
	}
	if now == s.told {
		return
	}
	switch {
	case now.Ahead == s.told.Ahead:
	case now.Ahead == 0:
		s.cfg.Logf("first in the waiting line")
	case now.Ahead > 0:
		s.cfg.Logf("in the waiting line, %d ahead", now.Ahead)
	}
	s.told = now
	if s.cfg.OnWaiting != nil {
		s.cfg.OnWaiting(now)
	}
}
