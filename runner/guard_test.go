package runner

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

const second = time.Second

// leased is the state of a guard whose amqprun renews its lease: the stop signal at 100
// s, SIGKILL at 105 s.
func leased() watch {
	return watch{orders: orders{Group: 42, KillAfter: 5 * second, StopAt: 100 * second,
		KillAt: 105 * second}}
}

func TestDue(t *testing.T) {
	abandoned := func(at time.Duration, change func(*watch)) watch {
		w := leased()
		w.abandoned, w.abandonedAt = true, at
		if change != nil {
			change(&w)
		}
		return w
	}
	changed := func(change func(*watch)) watch {
		w := leased()
		change(&w)
		return w
	}
	for _, c := range []struct {
		name string
		w    watch
		now  time.Duration
		do   action
		wake time.Duration
	}{
		{"no lease yet", watch{orders: orders{Group: 42}}, 1000 * second, rest, 0},
		{"long before", leased(), 10 * second, rest, 100*second + stopSlack},
		{"amqprun's own turn", leased(), 100 * second, rest, 100*second + stopSlack},
		{"amqprun did nothing", leased(), 100*second + stopSlack, stop, 105 * second},
		{"amqprun stops the tree", changed(func(w *watch) { w.Stopping = true }), 101 * second, rest,
			105 * second},
		{"the signal was sent", changed(func(w *watch) { w.did(stop) }), 101 * second, rest,
			105 * second},
		{"time is over", leased(), 105 * second, kill, 0},
		{"time is over although amqprun stops the tree", changed(func(w *watch) { w.Stopping = true }),
			105 * second, kill, 0},
		{"killed, amqprun still there", changed(func(w *watch) { w.did(kill) }), 200 * second, rest, 0},
		{"renewed after the signal",
			changed(func(w *watch) { w.did(stop); w.StopAt, w.KillAt = 110*second, 115*second }),
			101 * second, rest, 110*second + stopSlack},
		{"renewed after the kill",
			changed(func(w *watch) { w.did(kill); w.StopAt, w.KillAt = 110*second, 115*second }),
			115 * second, kill, 0},
		{"no grace", changed(func(w *watch) { w.StopAt = w.KillAt }), 105 * second, kill, 0},
		{"short grace", changed(func(w *watch) { w.StopAt = 104 * second }), 104 * second, rest,
			104*second + 250*time.Millisecond},
		{"suspended for a day", leased(), 24 * time.Hour, kill, 0},
		{"suspended for a day, after the signal", changed(func(w *watch) { w.did(stop) }), 24 * time.Hour,
			kill, 0},
		{"disconnected, amqprun's own turn", changed(func(w *watch) { w.disconnected(10 * second) }),
			10 * second, rest, 10*second + stopSlack},
		{"disconnected, amqprun did nothing", changed(func(w *watch) { w.disconnected(10 * second) }),
			10*second + stopSlack, stop, 15 * second},
		{"disconnected, after the grace",
			changed(func(w *watch) { w.disconnected(10 * second); w.did(stop) }), 15 * second, kill, 0},
		{"disconnected in the last grace of the lease",
			changed(func(w *watch) { w.did(stop); w.disconnected(103 * second) }), 104 * second, rest,
			105 * second},
		{"disconnected while amqprun stops the tree",
			changed(func(w *watch) { w.Stopping = true; w.disconnected(10 * second) }), 50 * second, rest,
			105 * second},
		{"disconnected before the start", watch{orders: orders{}}, 10 * second, rest, 0},
		{"pauses, amqprun did nothing", changed(func(w *watch) { w.Pauses = true }), 104 * second, rest,
			105 * second},
		{"pauses, time is over", changed(func(w *watch) { w.Pauses = true }), 105 * second, kill, 0},
		{"pauses, disconnected without a grace",
			changed(func(w *watch) { w.Pauses, w.KillAfter = true, 0; w.disconnected(10 * second) }),
			10 * second, rest, 10*second + freezeTime},
		{"pauses, disconnected, amqprun did nothing",
			changed(func(w *watch) { w.Pauses, w.KillAfter = true, 0; w.disconnected(10 * second) }),
			10*second + freezeTime, kill, 0},
		{"paused", changed(func(w *watch) { w.Paused = true; w.disconnected(10 * second) }),
			24 * time.Hour, rest, 0},
		{"paused and abandoned", abandoned(10*second, func(w *watch) { w.Paused = true }), 10 * second,
			kill, 0},
		{"abandoned", abandoned(10*second, nil), 10 * second, stop, 15 * second},
		{"abandoned, in the grace", abandoned(10*second, func(w *watch) { w.did(stop) }), 12 * second,
			rest, 15 * second},
		{"abandoned, after the grace", abandoned(10*second, func(w *watch) { w.did(stop) }), 15 * second,
			kill, 0},
		{"abandoned, and the lease ends first", abandoned(103*second, func(w *watch) { w.did(stop) }),
			105 * second, kill, 0},
		{"abandoned while stopping", abandoned(10*second, func(w *watch) { w.Stopping = true }),
			11 * second, rest, 15 * second},
		{"abandoned without a lease", abandoned(10*second, func(w *watch) { w.StopAt, w.KillAt = 0, 0 }),
			10 * second, stop, 15 * second},
		{"abandoned without a grace", abandoned(10*second, func(w *watch) { w.KillAfter = 0 }),
			10 * second, kill, 0},
		{"abandoned, suspended for a day", abandoned(10*second, nil), 24 * time.Hour, kill, 0},
	} {
		if do, wake := c.w.due(c.now); do != c.do || wake != c.wake {
			t.Errorf("%s: does %d, wakes at %v; want %d, %v", c.name, do, wake, c.do, c.wake)
		}
	}
}

// TestTheTreeIsDeadInTime follows a guard through any life of an amqprun. It kills at
// the end of the newest lease, and never before the time is over.
func TestTheTreeIsDeadInTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seconds := rapid.IntRange(0, 20)
		w := watch{orders: orders{Group: 42, KillAfter: time.Duration(seconds.Draw(t, "grace")) * second}}
		now := 1000 * second
		for range rapid.IntRange(1, 20).Draw(t, "events") {
			switch rapid.IntRange(0, 9).Draw(t, "event") {
			case 0:
				w.Stopping = true
			case 1:
				if !w.abandoned {
					w.abandoned, w.abandonedAt = true, now
				}
			default:
				if !w.abandoned {
					w.KillAt = now + time.Duration(1+seconds.Draw(t, "lease"))*second
					w.StopAt = w.KillAt - w.KillAfter
				}
			}
			until := now + time.Duration(seconds.Draw(t, "pass"))*second
			for steps := 0; ; steps++ {
				if steps > 10 {
					t.Fatal("busy without end")
				}
				do, wake := w.due(now)
				over := w.KillAt != 0 && now >= w.KillAt || w.abandoned && now >= w.abandonedAt+w.KillAfter
				if do == kill && !over {
					t.Fatalf("killed at %v with time left: %+v", now, w)
				}
				if do != kill && over && w.killedFor != w.KillAt {
					t.Fatalf("not killed at %v: %+v", now, w)
				}
				w.did(do)
				if do == kill && w.abandoned {
					return
				}
				if do == rest {
					if wake == 0 || wake > until {
						break
					}
					now = wake
				}
			}
			now = until
		}
	})
}

func TestOrdersSurviveTheSocket(t *testing.T) {
	want := orders{Amqprun: 1, Group: 2, Born: 6, Signal: 15, KillAfter: 3, StopAt: 4, KillAt: 5,
		Stopping: true, Pauses: true, Paused: true}
	got, id, err := decodeOrders(want.encode("the-id"))
	if err != nil || got != want || id != "the-id" {
		t.Errorf("%+v, %q, %v", got, id, err)
	}
	if _, _, err := decodeOrders([]byte("short")); err == nil {
		t.Error("a short message was taken")
	}
}

func TestNoGuard(t *testing.T) {
	var g *Guard
	g.KeepSocket(nil)
	g.Renew(1, 2)
	_ = g.start(orders{}, "")
	g.dismiss()
	g.abandon()
	g.stopping(1)
	g.pausing(true)
	if g.mayHaveStopped() {
		t.Error("it has done something")
	}
	if err := g.Done(); err != nil {
		t.Error(err)
	}
}
