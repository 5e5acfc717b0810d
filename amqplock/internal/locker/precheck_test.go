package locker

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/testbroker"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
	"github.com/amqprun/amqprun/test/sim/broker"
)

// holder is a lock that was taken five seconds ago, and has its publish connection.
type holder struct {
	*Holder
	*peer
	t           *testing.T
	lockConn    *peerConn
	publishConn *peerConn
}

func eachHolder(t *testing.T, test func(h *holder)) {
	t.Helper()
	for _, kind := range []wire.Kind{wire.Mutex, wire.Semaphore} {
		t.Run(string(kind), func(t *testing.T) {
			inBubble(t, func(t *testing.T, p *peer, cfg Config) {
				if kind == wire.Semaphore {
					cfg = p.semaphore(cfg, 1)
				}
				lock, _ := held5s(t, cfg)
				h := &holder{Holder: lock, peer: p, t: t, lockConn: p.connOf(lock.link.Lock)}
				if i := slices.IndexFunc(p.conns,
					func(c *peerConn) bool { return c != h.lockConn && c.open() }); i >= 0 {
					h.publishConn = p.conns[i]
				}
				test(h)
				if err := lock.Release(t.Context()); err != nil {
					t.Errorf("Release: %v", err)
				}
			})
		})
	}
}

// pass lets time pass. It returns how often the lock connection and all others were
// asked meanwhile whether there is a majority.
func (h *holder) pass(d time.Duration) (own, others int) {
	count := func() (own, others int) {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, c := range h.conns {
			if c == h.lockConn {
				own += c.seen["get"]
			} else {
				others += c.seen["get"]
			}
		}
		return own, others
	}
	own, others = count()
	pass(d)
	nowOwn, nowOthers := count()
	return nowOwn - own, nowOthers - others
}

// stillHeld waits for ten minutes.
func (h *holder) stillHeld() {
	h.t.Helper()
	pass(10 * time.Minute)
	if err := h.Context().Err(); err != nil {
		h.t.Errorf("lost: %v", context.Cause(h.Context()))
	}
}

// getOnOthers answers a get on any connection but the lock connection.
func (h *holder) getOnOthers(reply func(*request)) {
	h.answer(func(r *request) bool {
		bad := r.method == "get" && r.peerConn != h.lockConn
		if bad {
			reply(r)
		}
		return bad
	})
}

// Every get on the lock connection comes after one on the publish connection.
func TestPreCheckComesFirst(t *testing.T) {
	t.Parallel()
	eachHolder(t, func(h *holder) {
		if own, others := h.pass(time.Minute); own < 15 || own != others {
			t.Errorf("asked %d times, and %d times before", own, others)
		}
	})
}

// A bad answer to a get on the publish connection proves nothing and costs nothing but
// that connection. (541 is one, when the leader of the queue has died.) The lock
// connection is not asked until a new publish connection has been answered well.
func TestPreCheckTakesTheFailure(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"541", "320", "cut", "silence", "403", "404 down", "404 timeout"} {
		t.Run(name, func(t *testing.T) {
			eachHolder(t, func(h *holder) {
				dialed := h.dialed()
				h.getOnOthers(replies[name])
				if own, others := h.pass(9 * time.Second); own > 0 || others == 0 {
					t.Errorf("the lock connection was asked %d times, the others %d times", own, others)
				}
				closes := name == "541" || name == "320" || name == "cut" || name == "silence"
				if n := h.dialed() - dialed; closes && (n == 0 || n > 15) || !closes && n > 0 {
					t.Errorf("%d new publish connections", n)
				}
				h.answer(nil)
				h.stillHeld()
				if own, others := h.pass(time.Minute); own == 0 || own != others {
					t.Errorf("afterwards asked %d times, and %d times before", own, others)
				}
			})
		})
	}
}

// The broker does not read from a publish connection in an alarm. The lock connection,
// which never published, asks alone, however long it takes.
func TestPreCheckInAnAlarm(t *testing.T) {
	t.Parallel()
	eachHolder(t, func(h *holder) {
		h.mu.Lock()
		h.publishConn.alarm("low on memory")
		h.mu.Unlock()
		if own, others := h.pass(time.Minute); own < 15 || others > 0 {
			t.Errorf("in the alarm the lock connection was asked %d times, the others %d times",
				own, others)
		}
		h.stillHeld()
		h.mu.Lock()
		h.publishConn.alarmOver()
		h.mu.Unlock()
		if own, others := h.pass(time.Minute); own < 15 || own != others {
			t.Errorf("after the alarm asked %d times, and %d times before", own, others)
		}
	})
}

// Without a publish connection (a limit is reached, from the start or from some time
// on) the lock connection asks alone.
func TestPreCheckThatIsRefused(t *testing.T) {
	t.Parallel()
	refuse := func(r *request) bool {
		if r.method == "open" {
			r.closeConnection(
				530,
				"NOT_ALLOWED - access to vhost '/' refused for user 'guest': connection limit (1) is reached",
			)
		}
		return r.method == "open"
	}
	t.Run("later", func(t *testing.T) {
		eachHolder(t, func(h *holder) {
			h.answer(refuse)
			h.publishConn.cut()
			h.stillHeld()
			if own, others := h.pass(time.Minute); own < 15 || others > 0 {
				t.Errorf("the lock connection was asked %d times, the others %d times", own, others)
			}
			h.answer(nil)
			h.pass(10 * time.Second)
			if own, others := h.pass(time.Minute); own < 15 || own != others {
				t.Errorf("with a connection again asked %d times, and %d times before", own, others)
			}
		})
	})
	t.Run("at once", func(t *testing.T) {
		inBubble(t, func(t *testing.T, p *peer, cfg Config) {
			p.answer(func(r *request) bool { return len(p.conns) > 1 && refuse(r) })
			lock, _ := held5s(t, cfg)
			h := &holder{Holder: lock, peer: p, t: t, lockConn: p.connOf(lock.link.Lock)}
			h.stillHeld()
			if err := lock.Release(t.Context()); err != nil {
				t.Error(err)
			}
		})
	})
}

// A node that is cut off takes one publish connection after another, and answers no
// question. The lock connection is at a healthy node, and asks alone.
func TestPreCheckThatStaysSilent(t *testing.T) {
	t.Parallel()
	eachHolder(t, func(h *holder) {
		h.getOnOthers(replies["silence"])
		h.stillHeld()
		h.answer(nil)
		h.pass(time.Minute)
		if own, others := h.pass(time.Minute); own < 15 || own != others {
			t.Errorf("afterwards asked %d times, and %d times before", own, others)
		}
	})
}

// The publish connections may be cut off from the leader of one slot alone, so that each
// answers about the other slot.
func TestPreCheckOfOneSlotStaysSilent(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		cfg = p.semaphore(cfg, 2)
		cfg.Count = 2
		lock, _ := held5s(t, cfg)
		h := &holder{Holder: lock, peer: p, t: t, lockConn: p.connOf(lock.link.Lock)}
		h.answer(func(r *request) bool {
			silent := r.method == "get" && r.peerConn != h.lockConn &&
				r.queue == wire.SlotQueue("x", 2)
			if silent {
				r.stall()
			}
			return silent
		})
		h.stillHeld()
		if err := lock.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// If there are several nodes, the next publish connection is at another one.
func TestPreCheckLeavesASilentNode(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		nodes := dials{peer: p}
		cfg.Dial, cfg.URLs = nodes.dial, []string{"amqp://u:p@silent/", "amqp://u:p@well/"}
		lock, _ := held5s(t, cfg)
		h := &holder{Holder: lock, peer: p, t: t, lockConn: p.connOf(lock.link.Lock)}
		h.answer(func(r *request) bool {
			asked := r.method == "get" && r.peerConn != h.lockConn &&
				strings.HasPrefix(nodes.address(slices.Index(p.conns, r.peerConn)), "silent:")
			if asked {
				r.stall()
			}
			return asked
		})
		h.pass(time.Minute)
		if own, others := h.pass(time.Minute); own < 15 || own != others {
			t.Errorf("asked %d times, and %d times before", own, others)
		}
		if err := lock.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A publish connection that comes, and goes before it could ask anything, does not
// count.
func TestPreCheckThatComesAndGoes(t *testing.T) {
	t.Parallel()
	eachHolder(t, func(h *holder) {
		h.answer(func(r *request) bool {
			bad := r.method == "publish" && r.queue == wire.WillQueue("x")
			if bad {
				r.cut()
			}
			return bad
		})
		h.publishConn.cut()
		h.stillHeld()
	})
}

// With a new publish connection the lock connection asks on new channels: an older one
// may remember a leader that is dead.
func TestPreCheckIsFollowedOnYoungerChannels(t *testing.T) {
	t.Parallel()
	eachHolder(t, func(h *holder) {
		young := map[uint16]bool{}
		h.answer(func(r *request) bool {
			switch {
			case r.peerConn != h.lockConn:
			case r.method == "channel.open":
				young[r.channel] = true
			case r.method == "get" && !young[r.channel]:
				t.Errorf("asked on channel %d, which is old", r.channel)
			}
			return false
		})
		h.publishConn.cut()
		if own, _ := h.pass(time.Minute); own < 10 {
			t.Errorf("asked %d times", own)
		}
	})
}

// The library has not seen the end of a connection yet on which a publish has failed. The
// pre-check does not wait until it does, which is half a heartbeat of that connection.
func TestPreCheckAfterAFailedWrite(t *testing.T) {
	t.Parallel()
	simulated(t, wire.Mutex, func(t *testing.T, b *broker.Broker, cfg Config) {
		var fails atomic.Bool
		cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := b.DialContext(ctx, network, address)
			return testbroker.Torn{Conn: conn, From: &fails}, err
		}
		link := testSession(t, cfg)
		if err := link.OpenPublish(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := link.Messages().Open(); err != nil {
			t.Fatal(err)
		}
		fails.Store(true)
		if err := link.Messages().Do(func(ch *amqp.Channel) error {
			return ch.Publish("", "x", false, false, amqp.Publishing{})
		}); err == nil {
			t.Fatal("it was published")
		}
		s := &preCheck{publish: link.Publish(), patience: time.Second, silence: &silence{}}
		s.asked.Store(true)
		begun := time.Now()
		_, err := s.ask(t.Context(), nil, "")
		if took := time.Since(begun); took > 0 || !errors.Is(err, errNoPreCheck) {
			t.Errorf("%v after %s", err, took)
		}
	})
}
