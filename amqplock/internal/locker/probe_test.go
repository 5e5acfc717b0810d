package locker

import (
	"testing"
)

// A broker that fails itself (541) is asked again, five times in all.
func TestProbeAfterAFailureOfTheBroker(t *testing.T) {
	t.Parallel()
	const most = 5
	for failures := range most + 1 {
		fails := failures == most
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
			missing, err := s.Missing(t.Context(), "asked")
			if missing == fails || (err != nil) != fails || asked != min(failures+1, most) {
				t.Errorf("%d failures: asked %d times, missing %t, %v", failures, asked, missing, err)
			}
		})
	}
}

// Only one outcome of a probe says that a queue is missing.
func TestOutcomesOfProbes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		answer  func(*request)
		missing bool
		fails   bool
		kept    bool // the publish connection
	}{
		{"returned", (*request).giveBack, true, false, false},
		{"kept", func(*request) {}, false, false, false},
		{
			"channel closed",
			closing(403, "ACCESS_REFUSED - access to exchange for '%s' refused"),
			false,
			true,
			true,
		},
		{
			"connection closed",
			func(r *request) { r.closeConnection(541, "INTERNAL_ERROR") },
			false,
			true,
			false,
		},
		{"connection lost", func(r *request) { r.cut() }, false, true, false},
		{"alarm", func(r *request) { r.alarm("low on disk") }, false, true, false},
		{"all silent", func(r *request) { r.stall() }, false, true, true},
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
				missing, err := s.Missing(t.Context(), "asked")
				if missing != test.missing || (err != nil) != test.fails {
					t.Errorf("missing %t, %v", missing, err)
				}
				if test.fails && test.kept {
					before := p.dialed()
					p.answer(nil)
					if missing, err := s.Missing(t.Context(), "asked"); !missing || err != nil {
						t.Errorf("asked again: missing %t, %v", missing, err)
					}
					if got := p.connOf(s.Publish()).saw("channel.open"); got != 2 || p.dialed() != before {
						t.Errorf("%d channels on the same connection, want 2: late answers would be taken for others",
							got)
					}
				}
			})
		})
	}
}
