package main

import (
	"fmt"
	"slices"
	"time"
)

// handOver measures from the end of one command to the start of the next.
func (b *bench) handOver() (*table, error) {
	peers := slices.DeleteFunc(slices.Clone(b.peers), func(p peer) bool { return !p.waits })
	peers = append(peers, peer{name: "minimal -line", argv: with(b.minimal, "-line", "LOCK")})
	gaps := make(map[string][]time.Duration)
	for n := range b.handovers {
		for _, p := range peers {
			ran, err := b.queue(p, fmt.Sprintf("queue-%d", n))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.name, err)
			}
			gaps[p.name] = append(gaps[p.name], gapsOf(ran)...)
		}
	}
	t := newTable(fmt.Sprintf("%d interleaved queues of %d waiters, %d ms under the lock each.",
		b.handovers, waiters, holdMS),
		"end of a command to start of the next, median ms (/ minimal -line)", "")
	for _, p := range peers {
		own := gaps[p.name]
		t.add(p.name, pair(ms(median(own)), ratio(median(own), median(gaps["minimal -line"]))))
		t.point(p.name, own)
	}
	return t, nil
}
