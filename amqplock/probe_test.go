package amqplock

import "testing"

// A broker that fails itself (541) is asked once more, and no oftener.
func TestProbeAfterAFailureOfTheBroker(t *testing.T) {
	for failures, fails := range []bool{false, false, true} {
		inBubble(t, func(t *testing.T, p *peer, cfg Config) {
			s := testSession(t, cfg)
			asked := 0
			p.answer(func(r *request) bool {
				if r.method != "publish" || r.queue != "asked" {
					return false
				}
				if asked++; asked > failures {
					r.giveBack()
				} else {
					r.closeConnection(541, "INTERNAL_ERROR")
				}
				return true
			})
			missing, err := s.missing(t.Context(), "asked")
			if missing == fails || (err != nil) != fails || asked != min(failures+1, 2) {
				t.Errorf("%d failures: asked %d times, missing %t, %v", failures, asked, missing, err)
			}
		})
	}
}

// A probe has six outcomes, of which one alone says that a queue is missing.
func TestOutcomesOfProbes(t *testing.T) {
	tests := []struct {
		name    string
		answer  func(*request)
		missing bool
		fails   bool
	}{
		{"returned and acked", func(r *request) { r.giveBack(); r.confirm(basicAck) }, true, false},
		{"returned and nacked", func(r *request) { r.giveBack(); r.confirm(basicNack) }, true, false},
		{"returned, not confirmed yet", (*request).giveBack, true, false},
		{"acked", func(r *request) { r.confirm(basicAck) }, false, false},
		{"nacked", func(r *request) { r.confirm(basicNack) }, false, false},
		{"silent", func(*request) {}, false, false},
		{"channel closed", closing(403, "ACCESS_REFUSED - access to exchange for '%s' refused"), false, true},
		{"connection closed", func(r *request) { r.closeConnection(541, "INTERNAL_ERROR") }, false, true},
		{"connection lost", func(r *request) { r.cut() }, false, true},
		{"alarm", func(r *request) { r.alarm("low on disk") }, false, true},
		{"all silent", func(r *request) { r.stall() }, false, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, p *peer, cfg Config) {
				s := testSession(t, cfg)
				p.answer(func(r *request) bool {
					if r.method == "publish" && r.queue == "asked" {
						test.answer(r)
						return true
					}
					return false
				})
				missing, err := s.missing(t.Context(), "asked")
				if missing != test.missing || (err != nil) != test.fails {
					t.Errorf("missing %t, %v", missing, err)
				}
				if test.fails && s.probes != nil {
					t.Error("the prober that failed is kept: answers that are late would be taken for others")
				}
			})
		})
	}
}

// Who waits for a slot asks about those that there are, and finds the new ones.
func TestWaiterAsksForWhatThereIs(t *testing.T) {
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		cfg = p.semaphore(cfg, 2)
		for slot := range 2 {
			p.queues[heldQueue("x", slot+1)] = &peerConn{}
		}
		s := testSession(t, cfg)
		for _, step := range []struct{ slots, most, free int }{
			{2, 2*firstSlots + 3, 0}, // a newcomer
			{2, 2*3 + 3, 0},
			{20, 2*3 + 3, 1}, // the third
			{2, 2*4 + 3, 0},
		} {
			for slot := 1; slot <= 20; slot++ {
				if delete(p.queues, slotQueue("x", slot)); slot <= step.slots {
					p.queues[slotQueue("x", slot)] = nil
				}
			}
			asked := 0
			p.answer(func(r *request) bool {
				if r.method == "publish" {
					asked++
				}
				return false
			})
			found, err := s.find(t.Context(), 1)
			if err != nil || len(found.free) != step.free || asked > step.most {
				t.Errorf("%d slots: %v free after %d questions, %v", step.slots, found.free, asked, err)
			}
		}
	})
}
