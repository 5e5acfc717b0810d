package wire

import (
	"context"
	"net"
	"time"
)

// dialer opens TCP connections to a host that may have several addresses. It tries them
// in the resolver's order. Each has its share of the time, at most headStart, before the
// next one is tried beside it. The first that answers wins. net.Dialer gives a silent
// address two seconds at least, and a short time is over by then.
type dialer struct{ net.Dialer }

// headStart is what net.Dialer gives the first family of addresses.
const headStart = 300 * time.Millisecond

type dialed struct {
	conn net.Conn
	err  error
}

// DialContext returns the error of the first address if none answers.
func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addresses, err := d.Resolver.LookupHost(ctx, host) // nil is the default
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	if len(addresses) == 1 {
		return d.Dialer.DialContext(ctx, network, net.JoinHostPort(addresses[0], port))
	}
	share := headStart
	if end, ok := ctx.Deadline(); ok {
		share = min(share, time.Until(end)/time.Duration(len(addresses)))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // the others
	results, over, failure := make(chan dialed), make(chan struct{}), error(nil)
	defer close(over)
	next := time.NewTimer(0)
	defer next.Stop()
	for begun, failed := 0, 0; ; {
		select {
		case <-next.C:
			go d.dialOne(ctx, network, net.JoinHostPort(addresses[begun], port), results, over)
			if begun++; begun < len(addresses) {
				next.Reset(share)
			}
		case r := <-results:
			if failed++; r.err == nil {
				return r.conn, nil
			}
			if failure == nil {
				failure = r.err
			}
			if failed == len(addresses) {
				return nil, failure
			}
			if begun < len(addresses) {
				next.Reset(0)
			}
		}
	}
}

// dialOne hands over its connection, or closes it if another was faster.
func (d dialer) dialOne(
	ctx context.Context, network, address string, results chan<- dialed, over <-chan struct{},
) {
	conn, err := d.Dialer.DialContext(ctx, network, address)
	select {
	case results <- dialed{conn, err}:
	case <-over:
		if conn != nil {
			_ = conn.Close()
		}
	}
}
