package wire

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
)

// Slots is what a search found out about a semaphore.
type Slots struct {
	Known bool // it exists, perhaps with no slots
	Ours  bool // it has slot 0: created by amqprun, so that its slots are quorum queues

	Count int  // how many slots it has, or at least has
	Exact bool // Count is not only a lower bound
	Held  int  // how many of those were seen to be held

	Free []int // the numbers of slots seen to be free

	Left int // after a survey: how many of Count a drain that goes on will leave

	drain bool // somebody drains the semaphore
}

// firstSlots is how many slots the first round trip looks at: most semaphores have no
// more.
const firstSlots = 8

// Glance is how many slots of a long row a newcomer looks at before the wait queue. A
// free slot belongs to those who wait in it. If each of many newcomers asked about
// every slot, the broker could do nothing else.
const Glance = 20 * firstSlots

// survey looks at every slot, up to the first that is missing.
func (p *prober) survey(ctx context.Context, name string) (Slots, error) {
	s, all, err := p.begin(ctx, name)
	for size := 2 * firstSlots; err == nil && !all; size = min(2*size, window/2) {
		all, err = p.look(ctx, name, &s, size)
	}
	if s.Left = s.Count; err != nil || !s.drain {
		return s, err
	}
	end, err := p.target(ctx, name)
	if end == noTarget { // it is just beginning
		end = s.Count - 1
	}
	s.Left = max(min(s.Left, end), 0)
	return s, err
}

// find looks for at least want free slots, in a few round trips however many slots
// there are. It bisects for their number, and then asks about holders only. It begins
// at a random slot, so that those who come at the same time do not meet at the same
// slot. It looks at no more than most slots of a long row. expected is how many there
// probably are, 0 if nobody knows. It asks about those of prefer too.
func (p *prober) find(
	ctx context.Context, name string, want, most, expected int, prefer []int,
) (Slots, error) {
	if expected == 0 {
		expected = firstSlots
	}
	s, all, right, err := p.guess(ctx, name, min(expected, mostGuessed))
	if err == nil && !right {
		s, all, err = p.begin(ctx, name)
	}
	if err != nil {
		return s, err
	}
	end := noTarget
	if s.drain {
		if end, err = p.target(ctx, name); err != nil {
			return s, err
		}
	}
	if s.Exact = all; all || s.Count >= end || len(s.Free) >= want && !s.drain {
		return p.addPreferred(ctx, name, s, end, prefer)
	}
	first := s.Count + 1
	if s.Count, err = p.bisect(ctx, name, s.Count); err != nil {
		return s, err
	}
	s.Exact = true
	s = s.leaveToDrain(end)
	rest := s.Count - first + 1
	most = min(most, rest)
	size := max(want, firstSlots)
	for done, start := 0, rand.IntN(max(rest, 1)); done < most && len(s.Free) < want; {
		size = min(4*size, window) // where many are free the first few will do
		queues, numbers := make([]string, 0, size), make([]int, 0, size)
		for ; done < most && len(queues) < size; done++ {
			i := first + (start+done)%rest
			queues, numbers = append(queues, HeldQueue(name, i)), append(numbers, i)
		}
		missing, err := p.probe(ctx, queues)
		if err != nil {
			return s, err
		}
		for i, free := range missing {
			if free {
				s.Free = append(s.Free, numbers[i])
			} else {
				s.Held++
			}
		}
	}
	return p.addPreferred(ctx, name, s, end, prefer)
}

// addPreferred adds the preferred slots that are free and that the search has not come
// to. It leaves out what is to be drained.
func (p *prober) addPreferred(
	ctx context.Context, name string, s Slots, end int, prefer []int,
) (Slots, error) {
	s = s.leaveToDrain(end)
	prefer = slices.DeleteFunc(slices.Clone(prefer), func(i int) bool {
		return s.Exact && i > s.Count || slices.Contains(s.Free, i)
	})
	for part := range slices.Chunk(prefer, window/2) {
		queues := make([]string, 0, window)
		for _, i := range part {
			queues = append(queues, SlotQueue(name, i), HeldQueue(name, i))
		}
		missing, err := p.probe(ctx, queues)
		if err != nil {
			return s, err
		}
		for k, i := range part {
			if !missing[2*k] && missing[2*k+1] {
				s.Free = append(s.Free, i)
			}
		}
	}
	return s.leaveToDrain(end), nil
}

// count finds out how many slots there are, whether they are held or not.
func (p *prober) count(ctx context.Context, name string) (Slots, error) {
	s, all, err := p.begin(ctx, name)
	if err == nil && !all {
		s.Count, err = p.bisect(ctx, name, s.Count)
	}
	s.Exact = err == nil
	return s, err
}

// noTarget is more than any semaphore has.
const noTarget = math.MaxInt

// target is how many slots are to be left by the drain that is going on; noTarget where
// it does not say. See DrainTarget.
func (p *prober) target(ctx context.Context, name string) (int, error) {
	missing, err := p.probe(ctx, append([]string{DrainTarget(name)}, TargetBits(name, -1)...))
	if err != nil || missing[0] {
		return noTarget, err
	}
	n := 0
	for bit, zero := range missing[1:] {
		if !zero {
			n |= 1 << bit
		}
	}
	return n, nil
}

// leaveToDrain leaves out the slots that are to be drained: those behind end, or where
// that is noTarget the last one. There Count may be only a lower bound, which costs a
// slot for a moment.
func (s Slots) leaveToDrain(end int) Slots {
	switch {
	case end != noTarget:
		s.Exact = s.Exact || s.Count >= end
		s.Count = min(s.Count, end)
		s.Free = slices.DeleteFunc(s.Free, func(i int) bool { return i > end })
	case s.drain:
		s.Free = slices.DeleteFunc(s.Free, func(i int) bool { return i == s.Count })
	}
	return s
}

// mostGuessed bounds how many claims guess asks about at once. find asks about the rest
// only if too few of these slots are free.
const mostGuessed = 64

// guess is begin for a semaphore that probably has n slots. It asks about the last of
// them, not about each: a message to a slot that exists costs the broker half a
// millisecond. right reports whether there are n slots at least. Without slot 0, which is
// made last, there may be holes.
func (p *prober) guess(
	ctx context.Context, name string, n int,
) (s Slots, all, right bool, err error) {
	queues := []string{
		SlotQueue(name, 0), DrainQueue(name), SlotQueue(name, n), SlotQueue(name, n+1),
	}
	for i := range n {
		queues = append(queues, HeldQueue(name, i+1))
	}
	missing, err := p.probe(ctx, queues)
	if err != nil || missing[0] || missing[2] {
		return s, false, false, err
	}
	s = Slots{Known: true, Ours: true, drain: !missing[1], Count: n}
	for i, free := range missing[4:] {
		if free {
			s.Free = append(s.Free, i+1)
		} else {
			s.Held++
		}
	}
	return s, missing[3], true, nil
}

// begin looks at the first slots, and whether there is a semaphore at all.
func (p *prober) begin(ctx context.Context, name string) (s Slots, all bool, err error) {
	all, err = p.look(ctx, name, &s, firstSlots)
	s.Known = s.Ours || s.Count > 0
	return s, all, err
}

// look adds the next size slots to s, and reports whether it has seen the last one.
func (p *prober) look(ctx context.Context, name string, s *Slots, size int) (all bool, err error) {
	first := s.Count + 1
	queues := make([]string, 0, 2*size+2)
	if first == 1 { // slot 0 is made last: if the broker sees it first, it sees the others too
		queues = append(queues, SlotQueue(name, 0), DrainQueue(name))
	}
	for i := first; i < first+size; i++ {
		queues = append(queues, SlotQueue(name, i), HeldQueue(name, i))
	}
	missing, err := p.probe(ctx, queues)
	if err != nil {
		return false, err
	}
	if first == 1 {
		s.Ours, s.drain = !missing[0], !missing[1]
		missing = missing[2:]
	}
	for i := range size {
		if missing[2*i] {
			return true, nil
		}
		if missing[2*i+1] {
			s.Free = append(s.Free, first+i)
		} else {
			s.Held++
		}
		s.Count++
	}
	return s.Count > MaxSlots+Overshoot, nil
}

// branches is in how many parts bisect divides. More would spare a round trip. But a
// message to a slot that exists costs the broker three Raft commands: a sender has come,
// the message, and the sender has gone.
const branches = 4

// bisect returns the number of the last slot, given one that exists, or 0.
func (p *prober) bisect(ctx context.Context, name string, last int) (int, error) {
	end := MaxSlots + Overshoot + 1 // one that does not exist
	candidates := []int{}
	for i := max(2*last, 1); i < end; i *= 2 {
		candidates = append(candidates, i)
	}
	for {
		queues := make([]string, len(candidates))
		for i, n := range candidates {
			queues[i] = SlotQueue(name, n)
		}
		missing, err := p.probe(ctx, queues)
		if err != nil {
			return last, err
		}
		for i, n := range candidates {
			if missing[i] {
				end = n
				break
			}
			last = n
		}
		if end-last <= 1 {
			return last, nil
		}
		candidates = candidates[:0]
		for step, i := max((end-last)/branches, 1), last; i+step < end; {
			i += step
			candidates = append(candidates, i)
		}
	}
}
