package main

import (
	"fmt"
	"os/exec"
	"slices"
	"time"
)

// warmUps are runs that do not count: they fill the page cache and create what the first
// lock of a broker creates.
const warmUps = 5

// uncontended runs `true` under a free lock with each peer in turn. They take turns so
// that whatever else the machine does meets all of them.
func (b *bench) uncontended() error {
	took := make([][]time.Duration, len(b.peers))
	for n := range warmUps + b.rounds {
		for i, p := range b.peers {
			began := time.Now()
			command := exec.Command(p.argv("free", "true")[0], p.argv("free", "true")[1:]...)
			if output, err := command.CombinedOutput(); err != nil {
				return fmt.Errorf("%s: %w: %s", p.name, err, output)
			}
			if n >= warmUps {
				took[i] = append(took[i], time.Since(began))
			}
		}
	}
	least := slices.IndexFunc(b.peers, func(p peer) bool { return p.name == "minimal" })
	t := newTable("`true` under a free lock", "median ms", "p10-p90", "/ minimal")
	for i, p := range b.peers {
		sorted := slices.Sorted(slices.Values(took[i]))
		t.add(p.name, ms(quantile(sorted, 0.5)), middle(sorted),
			ratio(median(sorted), median(took[least])))
	}
	t.print(b.out, fmt.Sprintf("%d interleaved runs of each.", b.rounds))
	var lines []string
	for i, p := range b.peers {
		lines = append(lines, fmt.Sprintf("%q %s", p.name, spread(took[i])))
	}
	return b.points("start", lines)
}
