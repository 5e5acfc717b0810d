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

// idleFor is what a holder is watched for, after a second in which it does what comes after a grant.
const idleFor = 10 * time.Second

// idle measures what a lock costs while its command runs.
func (b *bench) idle() (failed error) {
	var names []string
	var pids []int
	for i, p := range b.peers {
		h, err := b.hold(p, fmt.Sprintf("idle-%d", i)) // two of them would want the same queue
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		defer func() { failed = errors.Join(failed, h.letGo()) }()
		names, pids = append(names, p.name), append(pids, h.Process.Pid)
	}
	<-time.After(time.Second)
	for i, pid := range pids {
		if guard := guardOf(pid); guard != 0 {
			names, pids = append(names, names[i]+", its guard"), append(pids, guard)
		}
	}
	before := make([]time.Duration, len(pids))
	for i, pid := range pids {
		used, err1 := cpuTime(pid)
		before[i], failed = used, errors.Join(failed, err1)
	}
	<-time.After(idleFor)
	t := newTable("a command that waits", "CPU ms", "resident MiB", "peak MiB")
	for i, pid := range pids {
		used, err1 := cpuTime(pid)
		now, err2 := status(pid, "VmRSS")
		peak, err3 := status(pid, "VmHWM")
		failed = errors.Join(failed, err1, err2, err3)
		t.add(names[i], ms(used-before[i]), mib(now), mib(peak))
	}
	t.print(fmt.Sprintf("Cost of holding a lock for %v.", idleFor))
	return failed
}

// guardOf returns the guard of amqprun, 0 for other programs.
func guardOf(pid int) int {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		children, _ := os.ReadFile(list)
		for _, child := range strings.Fields(string(children)) {
			if comm, _ := os.ReadFile("/proc/" + child + "/comm"); strings.TrimSpace(string(comm)) == "lock-guard" {
				guard, _ := strconv.Atoi(child)
				return guard
			}
		}
	}
	return 0
}

// cpuTime adds up the first field of schedstat of all threads, the nanoseconds on a processor; /proc/PID/stat counts in ticks of 10 ms.
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

// status reads a size in bytes from /proc/PID/status.
func status(pid int, key string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, key+":"); found {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("no %s of process %d", key, pid)
}
