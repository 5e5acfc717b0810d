package main

import (
	"fmt"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// warmUps are runs that do not count: they fill the page cache and create what the first
// lock of a broker creates.
const warmUps = 5

// uncontended runs `true` under a free lock with each peer in turn. They take turns so
// that whatever else the machine does meets all of them.
func (b *bench) uncontended() error {
	took := make([][]time.Duration, len(b.peers))
	peak := make([]int64, len(b.peers))
	for n := range warmUps + b.rounds {
		for i, p := range b.peers {
			began := time.Now()
			argv := p.argv("free", "true")
			command := exec.Command(argv[0], argv[1:]...)
			if output, err := command.CombinedOutput(); err != nil {
				return fmt.Errorf("%s: %w: %s", p.name, err, output)
			}
			if n >= warmUps {
				took[i] = append(took[i], time.Since(began))
				peak[i] = max(peak[i], maxRSS(command.ProcessState.SysUsage().(*syscall.Rusage)))
			}
		}
	}
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		return err
	}
	header := []string{"`true` under a free lock", "median ms", "p10", "p90"}
	for _, p := range b.peers {
		header = append(header, "/ "+p.name)
	}
	t := newTable(append(header, "peak MiB")...)
	var lines []string
	for i, p := range b.peers {
		middle, p10, p90 := spread(took[i])
		row := []string{p.name, middle, p10, p90}
		for j := range b.peers {
			row = append(row, ratio(median(took[i]), median(took[j])))
		}
		// A child inherits our own peak until its exec, and the kernel keeps the maximum.
		size := mib(peak[i])
		if peak[i] <= maxRSS(&own) {
			size = "< " + size
		}
		t.add(append(row, size)...)
		lines = append(lines, point(strconv.Quote(p.name), took[i]))
	}
	t.print(b.out, fmt.Sprintf("Start to end of the whole process, %d interleaved runs of each. "+
		"\"/ X\" is the ratio of the medians.", b.rounds))
	return b.points("start", lines)
}

// maxRSS is in bytes; Linux and the BSDs count in KiB, Darwin in bytes.
func maxRSS(usage *syscall.Rusage) int64 {
	if runtime.GOOS == "darwin" {
		return usage.Maxrss
	}
	return usage.Maxrss << 10
}
