package amqplock

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Status is what can be seen of a lock from outside, at about one instant. Slots is 1 for a mutex; Held + Free = Slots, where a slot about
// which the broker could not tell counts as held. So far the broker vouches for it, and for Waiting, the number of those who stand in line,
// which is 0 also where nobody in the line tells of itself. Holders and Waiters are what participants tell of themselves:
// a claim, no proof.
type Status struct {
	Version int    `json:"version"` // of this structure, 1: fields may be added to it, none changed or removed
	Kind    Kind   `json:"kind"`
	Name    string `json:"name"`
	Slots   int    `json:"slots"`
	Held    int    `json:"held"`
	Free    int    `json:"free"`
	Waiting int    `json:"waiting"`
	// Holders are ascending by slot. A slot that nobody claims has an entry with Unknown: the holder is another program, has held it for less than
	// a fifth of a second, lacks a permission, or does not answer.
	Holders []Participant `json:"holders"`
	// Waiters are in the order in which they joined the line, told by how long each says that it has stood there: two that joined within
	// milliseconds may be the wrong way round. Those without a place in the line come last.
	Waiters []Participant `json:"waiters"`
}

// Participant is a holder or a waiter.
type Participant struct {
	Unknown  bool  `json:"unknown,omitempty"`  // then only Slots counts
	Slots    []int `json:"slots,omitempty"`    // of a holder, from 1, ascending; a mutex has the one slot 1
	Elastic  bool  `json:"elastic,omitempty"`  // a holder that takes more slots when they come free
	Position int   `json:"position,omitempty"` // of a waiter, from 1, among those who answered; 0: without a place, it tries now and then
	About
	Since   time.Time `json:"since,omitzero"` // of the grant or the place in the line, by the clock of who asks
	Seconds float64   `json:"seconds"`        // since then
}

const statusVersion = 1

// Inspect looks at a lock without touching it. A semaphore that does not exist is an error that matches ErrNotFound; a mutex that nobody
// holds is free. Participants have at least a moment to answer, and several seconds if they keep coming. That they cannot be asked is told to
// Logf and is no error. Of cfg only Broker, Kind, Name and Logf count.
func Inspect(ctx context.Context, cfg Config) (Status, error) {
	return inspect(ctx, cfg, func(s *session) (Status, error) {
		status, free, err := s.count(ctx)
		if err != nil {
			return status, err
		}
		answers, err := s.ask(ctx, lockKey(cfg.Kind, cfg.Name), func(all map[string]answer) bool {
			return claimed(slices.Collect(maps.Values(all))) >= status.Held
		})
		if err != nil {
			s.cfg.Logf("the holders are not known: %v", err)
		}
		s.fill(ctx, &status, free, slices.Collect(maps.Values(answers)))
		return status, nil
	})
}

// Holders asks the participants alone who holds the lock, and leaves nothing in the broker's log. Those who do not tell are missing; of a
// semaphore it has no end that could be known, so the answer takes half a second. Of cfg only Broker, Kind, Name and Logf count.
func Holders(ctx context.Context, cfg Config) ([]Participant, error) {
	return inspect(ctx, cfg, func(s *session) ([]Participant, error) {
		answers, err := s.ask(ctx, lockKey(cfg.Kind, cfg.Name), func(all map[string]answer) bool {
			return cfg.Kind == Mutex && claimed(slices.Collect(maps.Values(all))) > 0
		})
		var holders []Participant
		for _, a := range answers {
			if p := a.participant(); len(a.Slots) > 0 {
				p.Slots = a.slots()
				holders = append(holders, p)
			}
		}
		slices.SortFunc(holders, func(a, b Participant) int { return cmp.Compare(a.Slots[0], b.Slots[0]) })
		return holders, err
	})
}

// Look is Inspect without participants: it is done when the broker has answered.
func Look(ctx context.Context, cfg Config) (Status, error) {
	return inspect(ctx, cfg, func(s *session) (Status, error) {
		status, _, err := s.count(ctx)
		return status, err
	})
}

// InspectAll looks at all locks of the virtual host that have participants, sorted by kind and name. Locks that are free, or known to other
// programs only, are not among them. Of broker everything counts; logf may be nil.
func InspectAll(ctx context.Context, broker Broker, logf func(string, ...any)) ([]Status, error) {
	cfg := Config{Broker: broker, Kind: Mutex, Name: whoExchange, Logf: logf} // a name for messages; nobody looks at it
	return inspect(ctx, cfg, func(s *session) ([]Status, error) {
		answers, err := s.ask(ctx, everybody, func(map[string]answer) bool { return false })
		if err != nil {
			return nil, err
		}
		type lock struct {
			kind Kind
			name string
		}
		locks := map[lock][]answer{}
		for _, a := range answers {
			key := lock{a.Kind, a.Name}
			locks[key] = append(locks[key], a)
		}
		list := []Status{}
		for _, key := range slices.SortedFunc(maps.Keys(locks), func(a, b lock) int {
			return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.name, b.name))
		}) {
			s.cfg.Kind, s.cfg.Name = key.kind, key.name
			status, free, err := s.count(ctx)
			if err != nil { // it may be gone by now, or never have been
				s.cfg.Logf("%v", err)
				if ctx.Err() != nil || s.hold.IsClosed() {
					return nil, err
				}
				continue
			}
			s.fill(ctx, &status, free, locks[key])
			list = append(list, status)
		}
		return list, nil
	})
}

func inspect[T any](ctx context.Context, cfg Config, look func(*session) (T, error)) (T, error) {
	var none T
	cfg, err := cfg.withDefaults()
	if err != nil {
		return none, err
	}
	s, err := connect(ctx, cfg)
	if err != nil {
		return none, err
	}
	defer s.drop()
	seen, err := look(s)
	if err == nil {
		s.farewell()
	}
	return seen, err
}

// count asks the broker; free are the numbers of the free slots.
func (s *session) count(ctx context.Context) (status Status, free []int, err error) {
	status = Status{
		Version: statusVersion, Kind: s.cfg.Kind, Name: s.cfg.Name, Slots: 1,
		Holders: []Participant{}, Waiters: []Participant{},
	}
	if s.cfg.Kind == Mutex {
		err := s.timed(ctx, "look at "+s.lockName(), func() error { return s.own.look(s.cfg.Name) })
		switch {
		case err == nil:
			return status, nil, notALock(s.cfg.Name, s.hold.broker)
		case code(err) == amqp.ResourceLocked:
			status.Held = 1
		case absent(err):
			status.Free, free = 1, []int{1}
		default:
			return status, nil, err
		}
		return status, free, nil
	}
	found, err := s.survey(ctx)
	if err == nil && !found.known {
		err = noSemaphore(s.cfg.Name, s.hold.broker)
	}
	status.Slots, status.Held, status.Free = found.count, found.held, len(found.free)
	return status, found.free, err
}

// claimed is how many slots the holders among the participants claim.
func claimed(answers []answer) int {
	n := 0
	for _, a := range answers {
		n += len(a.Slots)
	}
	return n
}

// fill puts in what the participants say.
func (s *session) fill(ctx context.Context, status *Status, free []int, answers []answer) {
	slices.SortFunc(answers, func(a, b answer) int { // who came first is first
		if a.InLine != b.InLine {
			return map[bool]int{true: -1, false: 1}[a.InLine]
		}
		return cmp.Or(a.since().Compare(b.since()), strings.Compare(a.About.ID, b.About.ID))
	})
	inLine, growing := 0, 0
	for _, a := range answers {
		if a.Elastic {
			growing++
		}
		if len(a.Slots) > 0 {
			continue
		}
		p := a.participant()
		if a.InLine {
			inLine++
			p.Position = inLine
		}
		status.Waiters = append(status.Waiters, p)
	}
	status.Waiting = inLine
	if inLine > 0 { // then there is a line to look at
		status.Waiting = max(inLine, s.lineLength(ctx)-growing)
	}
	status.addHolders(free, answers)
}

// addHolders adds those who claim slots, and an unknown one for each slot that nobody claims. A claim to a slot that the broker has just seen
// free is left out.
func (status *Status) addHolders(free []int, answers []answer) {
	unclaimed := map[int]bool{} // of the slots that are held
	for slot := 1; slot <= status.Slots; slot++ {
		unclaimed[slot] = true
	}
	for _, slot := range free {
		delete(unclaimed, slot)
	}
	for _, a := range answers {
		p := a.participant()
		for _, slot := range a.slots() {
			if _, held := unclaimed[slot]; held {
				p.Slots = append(p.Slots, slot)
				unclaimed[slot] = false
			}
		}
		if len(p.Slots) > 0 {
			status.Holders = append(status.Holders, p)
		}
	}
	for slot, unknown := range unclaimed {
		if unknown {
			status.Holders = append(status.Holders, Participant{Unknown: true, Slots: []int{slot}})
		}
	}
	slices.SortStableFunc(status.Holders, func(a, b Participant) int { return cmp.Compare(a.Slots[0], b.Slots[0]) })
}

func (a *answer) participant() Participant {
	return Participant{About: a.About, Since: a.since(), Elastic: a.Elastic, Seconds: float64(a.Millis) / 1000}
}

// since is when the answer's milliseconds began.
func (a *answer) since() time.Time {
	return a.arrived.Add(-time.Duration(a.Millis) * time.Millisecond).Round(time.Millisecond)
}

// lineLength is how many stand in the line, who are not asked.
func (s *session) lineLength(ctx context.Context) int {
	length, err := timedFor(ctx, s, "look at the line of "+s.lockName(), func(context.Context) (n int, err error) {
		err = s.own.do(func(ch *amqp.Channel) error {
			q, err := ch.QueueDeclarePassive(lineQueue(s.cfg.Name), false, false, false, false, nil)
			n = q.Consumers
			return err
		})
		return n, err
	})
	if err != nil {
		s.cfg.Logf("%v", err)
	}
	return length
}

func notALock(queue, broker string) error {
	return &Error{
		Kind: ErrNotALock,
		Text: fmt.Sprintf("queue %q on %s is not exclusive: it is a work queue, no lock", queue, broker),
		Hint: "choose another lock name",
	}
}

// slots are those held, as people count them: a mutex has slot 1.
func (a *answer) slots() (slots []int) {
	for _, slot := range a.Slots {
		slots = append(slots, max(slot, 1))
	}
	return slots
}
