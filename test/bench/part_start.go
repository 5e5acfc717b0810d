package main

import (
	"fmt"
	"slices"
	"time"
)

// warmUps are runs that do not count: they fill the page cache and create what the first
// lock of a broker creates.
const warmUps = 5

// uncontended runs `true` under a free lock with each peer in turn. They take turns so
// that whatever else the machine does meets all of them.
func (b *bench) uncontended() (*table, error) {
	// Any program pays for what amqprun promises. These are last: amqprun makes the witness.
	peers := append(slices.Clone(b.peers),
		peer{name: "minimal -checked", argv: with(b.minimal, "-checked", "LOCK")},
		peer{name: "minimal -checked -slot", argv: with(b.minimal, "-checked", "-slot", "LOCK")})
	took := make([][]time.Duration, len(peers))
	for n := range warmUps + b.rounds {
		for i, p := range peers {
			d, err := timed(p.argv("free", "true")...)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.name, err)
			}
			if n >= warmUps {
				took[i] = append(took[i], d)
			}
		}
	}
	least := slices.IndexFunc(peers, func(p peer) bool { return p.name == "minimal" })
	t := newTable(fmt.Sprintf("%d interleaved runs of each.", b.rounds),
		"`true` under a free lock, median ms (/ minimal)", "")
	for i, p := range peers {
		t.add(p.name, pair(ms(median(took[i])), ratio(median(took[i]), median(took[least]))))
		t.point(p.name, took[i])
	}
	return t, nil
}
