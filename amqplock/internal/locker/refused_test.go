package locker

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// refuses answers a login as a RabbitMQ does that has another password, or that is ending
// and has no users any more.
func refuses(r *request) bool {
	if r.method == "start-ok" {
		r.closeConnection(403, "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN.")
	}
	return r.method == "start-ok"
}

// A waiter outlives a broker that refuses it for a while, if that has accepted it before.
func TestRefusalByABrokerThatHasAcceptedUs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		away time.Duration
		want error
	}{{"for a while", 5 * time.Second, nil}, {"for good", time.Hour, fault.ErrAccess}} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, p *peer, cfg Config) {
				p.queues["x"] = &peerConn{} // another's
				cfg.ConnectTimeout = 10 * time.Second
				got := make(chan error, 1)
				go func() {
					lock, err := Acquire(t.Context(), cfg)
					if err == nil {
						err = lock.Release(t.Context())
					}
					got <- err
				}()
				pass(time.Second)
				p.answer(refuses)
				p.mu.Lock()
				for _, c := range p.conns {
					c.cut()
				}
				delete(p.queues, "x")
				p.mu.Unlock()
				pass(test.away)
				p.answer(nil)
				if err := <-got; !errors.Is(err, test.want) {
					t.Errorf("%v, want %v", err, test.want)
				}
			})
		})
	}
}

// A contender that was never accepted and is refused twice has the wrong password. One
// that does not wait asks once.
func TestRefusalByABrokerThatNeverAcceptedUs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		acquire func(context.Context, Config) (*Holder, error)
		tries   int
	}{{"waits", Acquire, 2}, {"does not wait", TryAcquire, 1}} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, p *peer, cfg Config) {
				p.answer(refuses)
				said := 0
				cfg.Log = onLog(func(text string) {
					if strings.HasSuffix(text, `refused the login of user "guest"; asking once more`) {
						said++
					}
					if strings.Contains(text, "trying again") {
						t.Error(text)
					}
				})
				began := time.Now()
				_, err := test.acquire(t.Context(), cfg)
				if said != test.tries-1 {
					t.Errorf("said %d times that it asks once more", said)
				}
				if !errors.Is(err, fault.ErrAccess) || p.dialed() != test.tries ||
					time.Since(began) > 2*secondThought {
					t.Errorf("%v after %d tries and %s", err, p.dialed(), time.Since(began))
				}
			})
		})
	}
}

// A broker that is ending refuses everybody, and is back a little later.
func TestNewcomerOutlivesABrokerThatRestarts(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		restarts, dial := 0, cfg.Dial
		cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			switch restarts++; restarts {
			case 1, 4:
				p.answer(refuses)
			case 2, 3:
				return nil, syscall.ECONNREFUSED
			default:
				p.answer(nil)
			}
			return dial(ctx, network, address)
		}
		lock, err := Acquire(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := lock.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A connection that breaks in the middle of the login is no refusal: it is tried again,
// and the error says what has happened.
func TestCutInTheLoginIsNoRefusal(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"start-ok", "open"} {
		inBubble(t, func(t *testing.T, p *peer, cfg Config) {
			cuts := 0
			p.answer(func(r *request) bool {
				if r.method != step || cuts == 3 {
					return false
				}
				cuts++
				r.cut()
				return true
			})
			_, err := TryAcquire(t.Context(), cfg)
			if !errors.Is(err, fault.ErrUnreachable) ||
				!strings.Contains(err.Error(), "closed the connection before the login was done") {
				t.Errorf("cut after %s: %v, want ErrUnreachable", step, err)
			}
			lock, err := Acquire(t.Context(), cfg)
			if err != nil || cuts != 3 {
				t.Fatalf("cut after %s, %d times: %v", step, cuts, err)
			}
			if err := lock.Release(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A newcomer tries for as long as it has said, to the end.
func TestNewcomerTriesToTheEnd(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, _ *peer, cfg Config) {
		begun := time.Now()
		last := begun
		cfg.Dial = func(context.Context, string, string) (net.Conn, error) {
			last = time.Now()
			return nil, errors.New("refused")
		}
		if _, err := Acquire(t.Context(), cfg); !errors.Is(err, fault.ErrUnreachable) {
			t.Errorf("%v, want ErrUnreachable", err)
		}
		if got := last.Sub(begun); got != wire.DefaultConnectTimeout {
			t.Errorf("the last try was after %s", got)
		}
	})
}
