package faults

import (
	"fmt"
	"testing"
	"time"

	"github.com/amqprun/amqprun/test/lab/proxy"
	"github.com/amqprun/amqprun/test/lab/rig"
)

// exitLost and the like are the program's exit statuses.
const (
	exitUnreachable = 69
	exitLost        = 76
)

// duel is a holder, whose connections go through a proxy and whose command ignores
// SIGTERM, and a rival that waits for the lock.
type duel struct {
	*rig.Lock
	t      *testing.T
	broker *rig.Broker
	proxy  *proxy.Proxy
	holder *rig.Contender
	rival  *rig.Contender
}

func newDuel(t *testing.T, broker *rig.Broker, slots int) *duel {
	t.Helper()
	return newDuelFor(t, broker, rig.NewLock(t, slots))
}

func newDuelFor(t *testing.T, broker *rig.Broker, lock *rig.Lock) *duel {
	t.Helper()
	d := &duel{Lock: lock, t: t, broker: broker}
	var err error
	if d.proxy, err = proxy.Listen(broker.Address()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.proxy.Close)
	d.holder = d.Start(rig.Holder, broker.Through(d.proxy.Addr()), "--", "-deaf")
	d.holder.AwaitStart()
	d.rival = d.Start("rival", broker.URL, "--wait", "110", "--connect-timeout", "40", "--", "-for",
		"1500ms")
	d.rival.AwaitMessage("waiting for")
	d.holder.AwaitGuard()
	return d
}

// lost checks the end of a duel that the holder must lose. Its command is dead within
// limit of the fault, it logs the loss, and the rival gets the lock. The two commands
// run together for no more than overlap.
func (d *duel) lost(fault, limit, overlap time.Duration) {
	d.t.Helper()
	d.holder.AwaitExit(exitLost)
	d.rival.AwaitExit(0)
	last := d.Run(rig.Holder).Last
	rig.Figure(d.t, "stop signal after the fault", d.Run(rig.Holder).Signal-fault)
	rig.Figure(d.t, "command dead after the fault", last-fault)
	rig.Figure(d.t, "next command after the fault", d.Run("rival").Start-fault)
	if last-fault > limit {
		d.t.Errorf("the command was alive %s after the fault, want at most %s", last-fault, limit)
	}
	if d.holder.Said("amqprun: error: lost ") == 0 {
		d.t.Error("the holder did not say that it lost the lock")
	}
	if last > d.holder.Ended {
		d.t.Error("the command outlived its amqprun")
	}
	d.Verdict(overlap)
}

// kept checks that the holder keeps the lock for a time, and hands it over after that.
func (d *duel) kept(fault, length time.Duration) {
	d.t.Helper()
	rig.Pass(length - (rig.Now() - fault))
	if d.holder.HasEnded() || d.History().Find("rival") != nil {
		d.t.Fatal("the holder did not keep the lock")
	}
}

func bothKinds(t *testing.T, test func(t *testing.T, slots int)) {
	for slots, kind := range []string{"mutex", "semaphore"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			test(t, slots)
		})
	}
}

func TestSilence(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]func(*proxy.Proxy){
		"black hole both ways": func(p *proxy.Proxy) {
			p.Break(proxy.Blackhole(), proxy.Blackhole())
		},
		"black hole towards the broker": func(p *proxy.Proxy) {
			p.Break(proxy.Blackhole(), proxy.None())
		},
		"black hole towards us": func(p *proxy.Proxy) {
			p.Break(proxy.None(), proxy.Blackhole())
		},
		"nothing but heartbeats": func(p *proxy.Proxy) {
			p.Break(proxy.Heartbeats(), proxy.Heartbeats())
		},
		"answers hang, heartbeats pass": func(p *proxy.Proxy) {
			p.Break(proxy.None(), proxy.Heartbeats())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bothKinds(t, func(t *testing.T, slots int) {
				d := newDuel(t, rig.TheBroker(t), slots)
				fault := rig.Now()
				broken(d.proxy)
				d.lost(fault, rig.Lease, 0)
			})
		})
	}
}

// An abrupt end of the connection frees the lock at once: the next command may start
// while this one has its grace.
func TestAbruptEnd(t *testing.T) {
	t.Parallel()
	for name, reset := range map[string]bool{"reset": true, "FIN": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bothKinds(t, func(t *testing.T, slots int) {
				d := newDuel(t, rig.TheBroker(t), slots)
				fault := rig.Now()
				d.proxy.Cut(reset)
				d.lost(fault, rig.Grace+rig.Slack, rig.Grace+rig.Slack)
			})
		})
	}
}

func TestSlowness(t *testing.T) {
	t.Parallel()
	for name, slow := range map[string]proxy.Fault{
		"delay of 300 ms": proxy.Delay(300 * time.Millisecond),
		"byte by byte":    proxy.Trickle(time.Millisecond),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bothKinds(t, func(t *testing.T, slots int) {
				d := newDuel(t, rig.TheBroker(t), slots)
				fault := rig.Now()
				d.proxy.Break(slow, slow)
				d.kept(fault, 3*rig.Lease)
				d.proxy.Break(proxy.Blackhole(), proxy.Blackhole())
				d.lost(rig.Now(), rig.Lease, 0)
			})
		})
	}
}

// So slow that no answer comes in time: the lock must be given up before the broker frees
// it.
func TestUselessSlowness(t *testing.T) {
	t.Parallel()
	for name, slow := range map[string]proxy.Fault{
		"delay of 3 s":     proxy.Delay(3 * time.Second),
		"trickle of 50 ms": proxy.Trickle(50 * time.Millisecond),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDuel(t, rig.TheBroker(t), 0)
			fault := rig.Now()
			d.proxy.Break(slow, slow)
			d.lost(fault, 2*rig.Lease, 0)
		})
	}
}

// A broker, or something in its place, that stops answering in the middle of the login or
// of the first requests. A run that may wait would wait on once it is logged in.
func TestHandshakeStalls(t *testing.T) {
	t.Parallel()
	for frames := range 6 { // start, tune, open-ok; then channel open-ok and the declares
		t.Run(fmt.Sprintf("after %d frames", frames), func(t *testing.T) {
			t.Parallel()
			broker := rig.TheBroker(t)
			p, err := proxy.Listen(broker.Address())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.Close)
			p.Break(proxy.None(), proxy.After(frames))
			lock := rig.NewLock(t, 0)
			c := lock.Start("nobody", broker.Through(p.Addr()), "--connect-timeout", "1", "-n")
			c.AwaitExit(exitUnreachable)
			took := c.Ended - c.Asked
			rig.Figure(t, "gave up after", took)
			if took > 3*time.Second+rig.Slack { // connect, claim, close
				t.Errorf("it took %s to give up, with a connect timeout of 1 s", took)
			}
			if len(lock.History().Runs) > 0 {
				t.Error("the command ran")
			}
		})
	}
}
