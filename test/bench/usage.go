package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// cpuTime adds up the first field of schedstat of all threads, the nanoseconds on a
// processor; /proc/PID/stat counts in ticks of 10 ms.
func cpuTime(pid int) (total time.Duration, err error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err == nil && len(threads) == 0 {
		err = fmt.Errorf("process %d has ended", pid)
	}
	for _, thread := range threads {
		var ns int64
		text, err1 := os.ReadFile(thread)
		_, err2 := fmt.Sscan(string(text), &ns)
		err = errors.Join(err, err1, err2)
		total += time.Duration(ns)
	}
	return total, err
}

// proportional is what a process has in memory, what it shares divided by the number of
// those who share it.
func proportional(pid int) (int64, error) {
	return sizeIn(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss")
}

// status reads a size in bytes from /proc/PID/status.
func status(pid int, key string) (int64, error) {
	return sizeIn(fmt.Sprintf("/proc/%d/status", pid), key)
}

func sizeIn(file, key string) (int64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, key+":"); found {
			kib, err := strconv.ParseInt(
				strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("%s has no %s", file, key)
}
