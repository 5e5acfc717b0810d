package locker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
	"github.com/amqprun/amqprun/amqplock/internal/wire"
)

// replies are what a broker may answer when something is wrong, with RabbitMQ's texts.
var replies = map[string]func(*request){
	"403": closing(
		403,
		"ACCESS_REFUSED - access to queue '%s' in vhost '/' refused for user 'guest'",
	),
	"404 gone": closing(404, "NOT_FOUND - no queue '%s' in vhost '/'"),
	"404 down": closing(
		404,
		"NOT_FOUND - home node 'rabbit@a' of durable queue '%s' in vhost '/' is down or inaccessible",
	),
	"404 crashed": closing(
		404,
		"NOT_FOUND - queue '%s' in vhost '/' has crashed and failed to restart",
	),
	"404 timeout": closing(
		404,
		"NOT_FOUND - failed to perform operation on queue '%s' in vhost '/' due to timeout",
	),
	"405": closing(
		405,
		"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '%s' in vhost '/'",
	),
	"406": closing(
		406,
		"PRECONDITION_FAILED - cannot declare queue '%s': queue limit in vhost '/' (5) is reached",
	),
	"320": func(r *request) {
		r.closeConnection(320, "CONNECTION_FORCED - Closed via management plugin")
	},
	"530":     func(r *request) { r.closeConnection(530, "NOT_ALLOWED - vhost '/' is down") },
	"541":     func(r *request) { r.closeConnection(541, "INTERNAL_ERROR") },
	"cut":     func(r *request) { r.cut() },
	"silence": func(r *request) { r.stall() },
}

func closing(code uint16, text string) func(*request) {
	return func(r *request) { r.closeChannel(code, fmt.Sprintf(text, r.queue)) }
}

// question is one kind of request.
type question struct {
	name   string
	kind   wire.Kind
	method string
	queue  string
}

func (q question) is(r *request) bool { return r.method == q.method && r.queue == q.queue }

// each runs a test for each reply to each question, with the meaning in table: a line
// for a reply, a column for a question.
func each(t *testing.T, questions []question, table string,
	test func(t *testing.T, p *peer, cfg Config, q question, reply func(*request), want string),
) {
	t.Helper()
	seen := 0
	for line := range strings.Lines(strings.TrimSpace(table)) {
		name, cells, _ := strings.Cut(line, "|")
		name = strings.TrimSpace(name)
		wants := strings.Fields(cells)
		if replies[name] == nil || len(wants) != len(questions) {
			t.Fatalf("bad line %q", line)
		}
		seen++
		for i, q := range questions {
			t.Run(q.name+"/"+name, func(t *testing.T) {
				inBubble(t, func(t *testing.T, p *peer, cfg Config) {
					if q.kind == wire.Semaphore {
						cfg = p.semaphore(cfg, 1)
					}
					test(t, p, cfg, q, replies[name], wants[i])
				})
			})
		}
	}
	if seen != len(replies) {
		t.Errorf("%d of %d replies have a line", seen, len(replies))
	}
}

// The table has what an answer means to a contender. The broker answers so three times
// and is well then. "later" means the lock for a waiter, once the broker answers well.
// Without waiting it means an error: the broker did not answer well (69).
func TestAnswersToAcquire(t *testing.T) {
	t.Parallel()
	each(t, []question{
		{"claim mutex", wire.Mutex, "claim", "x"},
		{"claim slot", wire.Semaphore, "claim", "x-B-1"},
		{"check slot", wire.Semaphore, "get", "x-A-1"},
		{"check majority", wire.Mutex, "get", wire.Witness},
		{"barrier", wire.Semaphore, "publish", barrier},
	}, `
		403         | access      access      access      access      access
		404 gone    | unreachable unreachable busy        witness     unreachable
		404 down    | unreachable unreachable unreachable unreachable unreachable
		404 crashed | unreachable unreachable unreachable unreachable unreachable
		404 timeout | unreachable unreachable unreachable unreachable unreachable
		405         | busy        faster      unreachable unreachable unreachable
		406         | unreachable unreachable unreachable unreachable unreachable
		320         | later       later       later       later       later
		530         | later       later       later       later       later
		541         | later       later       later       later       again
		cut         | later       later       later       later       later
		silence     | later       later       later       later       later`,
		func(t *testing.T, p *peer, cfg Config, q question, reply func(*request), want string) {
			kinds := map[string][2]error{ // of TryAcquire, and of Acquire
				"access":      {fault.ErrAccess, fault.ErrAccess},
				"unreachable": {fault.ErrUnreachable, fault.ErrUnreachable},
				"later":       {fault.ErrUnreachable, nil},
				"busy":        {fault.ErrNotAcquired, nil},
				// The slot was seen to be free, so others have been faster: look again at once.
				"faster": {nil, nil},
				"again":  {nil, nil}, // probes are, oftener than this
				// It is declared, and is gone again at once.
				"witness": {fault.ErrUnreachable, fault.ErrUnreachable},
			}
			for i, take := range []func(context.Context, Config) (*Holder, error){TryAcquire, Acquire} {
				asked := 0
				p.answer(func(r *request) bool {
					bad := q.is(r) && asked < 3
					if bad {
						asked++
						reply(r)
					}
					return bad
				})
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				lock, err := take(ctx, cfg)
				if !errors.Is(err, kinds[want][i]) {
					t.Errorf("wait %t: %v, want %v", i == 1, err, kinds[want][i])
				}
				if asked == 0 {
					t.Error("nothing was asked")
				}
				if lock != nil {
					if err := lock.Release(t.Context()); err != nil {
						t.Error(err)
					}
				}
				if p.owned(q.queue) {
					t.Error("the queue was left behind")
				}
			}
		})
}

// That others hold the lock is the answer, also where the checks that run beside the
// claim fail, and whichever is faster.
func TestHeldByOthersWhateverTheChecksSay(t *testing.T) {
	t.Parallel()
	for range 20 {
		inBubble(t, func(t *testing.T, p *peer, cfg Config) {
			p.queues[cfg.Name] = &peerConn{}
			p.answer(func(r *request) bool {
				if r.method == "get" {
					replies["404 down"](r)
				}
				return r.method == "get"
			})
			if _, err := TryAcquire(t.Context(), cfg); !errors.Is(err, fault.ErrNotAcquired) {
				t.Error(err)
			}
		})
	}
}

// A wait queue is a convenience: nothing that goes wrong with it keeps anybody from the
// lock.
func TestAnswersToTheWaitQueue(t *testing.T) {
	t.Parallel()
	each(t, []question{
		{"declare", wire.Mutex, "declare", wire.WaitQueue("x")},
		{"consume", wire.Mutex, "consume", wire.WaitQueue("x")},
		{"look", wire.Mutex, "look", "x"}, // whether what refused us is a lock at all
	}, `
		403         | waits waits waits
		404 gone    | waits waits waits
		404 down    | waits waits waits
		404 crashed | waits waits waits
		404 timeout | waits waits waits
		405         | waits waits waits
		406         | waits waits waits
		320         | waits waits waits
		530         | waits waits waits
		541         | waits waits waits
		cut         | waits waits waits
		silence     | waits waits waits`,
		func(t *testing.T, p *peer, cfg Config, q question, reply func(*request), _ string) {
			p.heldFor(cfg.Name, time.Minute)
			asked, began := 0, time.Now()
			p.answer(func(r *request) bool {
				bad := q.is(r) && time.Since(began) < time.Minute
				if bad {
					asked++
					reply(r)
				}
				return bad
			})
			lock, err := Acquire(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took < time.Minute || took > 80*time.Second {
				t.Errorf("granted after %s, want it soon after a minute", took)
			}
			if asked == 0 || asked > 100 {
				t.Errorf("asked %d times in a minute", asked)
			}
			if err := lock.Release(t.Context()); err != nil {
				t.Error(err)
			}
		})
}

// The broker logs each claim that it refuses. So a waiter without the permission for a
// place in the queue asks first, too.
func TestWaiterWithoutAPlaceClaimsSeldom(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"declare", "consume"} {
		inBubble(t, func(t *testing.T, p *peer, cfg Config) {
			p.heldFor(cfg.Name, 10*time.Minute)
			claims := 0
			p.answer(func(r *request) bool {
				if r.method == "claim" && r.queue == "x" {
					claims++
				}
				forbidden := r.method == method && r.queue == wire.WaitQueue("x")
				if forbidden {
					replies["403"](r)
				}
				return forbidden
			})
			lock := mustAcquire(t, cfg)
			if claims > 5 {
				t.Errorf("no permission to %s: %d claims in 10 minutes", method, claims)
			}
			if err := lock.Release(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A broker that accepts each connection and closes it at the first request is not run
// down.
func TestPatienceWithABrokerThatHangsUp(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, p *peer, cfg Config) {
		p.answer(func(r *request) bool {
			if r.method == "claim" {
				r.closeConnection(amqp.InternalError, "INTERNAL_ERROR")
			}
			return r.method == "claim"
		})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		if _, err := Acquire(ctx, cfg); !errors.Is(err, fault.ErrNotAcquired) {
			t.Error(err)
		}
		if n := p.dialed(); n < 10 || n > 120 {
			t.Errorf("%d connections in 5 minutes", n)
		}
	})
}
