package locker

import (
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// sawAll returns how often a method has come on all connections.
func (p *peer) sawAll(method string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		n += c.seen[method]
	}
	return n
}

// A waiter asks now and then whether a mutex has come free without a hint. A claim that
// is refused would be an error in the broker's log each time. So it only claims what is
// free, unless it may not publish, and so not ask.
func TestWaiterClaimsOnlyWhatIsFree(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		script func(*request) bool
		claims func(int) bool
	}{
		// before it knew of the line, and before it joined
		{"may ask", nil, func(n int) bool { return n == 2 }},
		{"may not publish", func(r *request) bool {
			if r.method == "publish" {
				r.closeChannel(amqp.AccessRefused,
					"ACCESS_REFUSED - write access to exchange 'amq.default' in vhost '/' refused for user 'x'")
			}
			return r.method == "publish"
		}, func(n int) bool { return n > 10 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, p *peer, cfg Config) {
				p.queues["x"] = &peerConn{} // another's
				p.answer(test.script)
				got := make(chan error, 1)
				go func() {
					lock, err := Acquire(t.Context(), cfg)
					if err == nil {
						err = lock.Release(t.Context())
					}
					got <- err
				}()
				pass(2 * time.Minute)
				if n := p.sawAll("claim"); !test.claims(n) {
					t.Errorf("claimed %d times in two minutes", n)
				}
				// The refusal of a question ends the connection that is in the wait queue.
				if n := p.sawAll("consume"); n > 2 {
					t.Errorf("joined the wait queue %d times", n)
				}
				p.mu.Lock()
				delete(p.queues, "x")
				p.mu.Unlock()
				began := time.Now()
				if err := <-got; err != nil || time.Since(began) > 8*time.Second {
					t.Errorf("%v, %s after the mutex came free", err, time.Since(began))
				}
			})
		})
	}
}
