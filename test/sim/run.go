package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// options say what to run.
type options struct {
	seed      uint64
	seeds     int
	with      string
	length    time.Duration
	processes int
}

// seedsEach is how many seeds belong to each process: more than one can run.
const seedsEach = 1 << 32

// run builds the simulation, runs it in several processes, and adds up.
func (o options) run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "sim-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	program, err := build(ctx, dir)
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	outs := make([]bytes.Buffer, o.processes)
	errs := make([]error, o.processes)
	if o.seeds > 0 { // of one process: they replay in any order, and are read by people
		o.processes = 1
	}
	began := time.Now()
	cpu := make([]time.Duration, o.processes)
	for i := range o.processes {
		all.Go(func() {
			c := exec.CommandContext(ctx, program, o.arguments(i)...)
			// One processor, and no garbage collection in the middle: that is what replays.
			c.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=off", "GOMEMLIMIT=1GiB")
			c.Stdout, c.Stderr = &outs[i], &outs[i]
			errs[i] = c.Run()
			if c.ProcessState != nil { // it was started
				cpu[i] = c.ProcessState.UserTime() + c.ProcessState.SystemTime()
			}
		})
	}
	all.Wait()
	took := time.Since(began)
	total, failed, used, seen := 0, 0, time.Duration(0), map[string]int{}
	for i := range o.processes {
		n, bad := count(outs[i].String())
		if errs[i] != nil || o.seeds > 0 {
			fmt.Print(outs[i].String())
		}
		if errs[i] != nil && bad == 0 {
			bad = 1
		}
		total, failed, used = total+n, failed+bad, used+cpu[i]
		for _, line := range slow.FindAllString(outs[i].String(), -1) {
			fmt.Println(line)
		}
		for _, m := range sight.FindAllStringSubmatch(outs[i].String(), -1) {
			n, _ := strconv.Atoi(m[1])
			seen[m[2]+m[3]] += n
		}
	}
	for _, what := range slices.Sorted(maps.Keys(seen)) {
		fmt.Printf("%9d %s\n", seen[what], what)
	}
	fmt.Printf("%d schedules in %s, %.0f a minute; %.0f in a minute of a processor\n", total,
		took.Round(time.Second), float64(total)/took.Minutes(), float64(total)/used.Minutes())
	fmt.Printf("%d passed, %d failed, 0 skipped\n", min(1, total-failed), failed)
	return errors.Join(errs...)
}

// arguments are those of one process.
func (o options) arguments(process int) []string {
	tests := "^TestSchedules$"
	if process == 0 && o.seeds != 1 {
		tests = "^Test(Replay|Schedules)$"
	}
	args := []string{"-test.run=" + tests, "-test.v", "-test.timeout=0"}
	seed := o.seed + uint64(process)*seedsEach
	args = append(args, "-seed="+strconv.FormatUint(seed, 10), "-length="+o.length.String(),
		"-with="+o.with)
	if o.seeds > 0 {
		args = append(args, "-seeds="+strconv.Itoa(o.seeds))
	}
	if o.seeds == 1 {
		args = append(args, "-notes")
	}
	return args
}

// build builds the simulation with the patched runtime.
func build(ctx context.Context, dir string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", err
	}
	p, err := readPatch(filepath.Join("test", "sim", "runtime.txt"))
	if err != nil {
		return "", err
	}
	return p.build(ctx, filepath.Join(strings.TrimSpace(string(out)), "src"), dir, "-tags=simreplay")
}

// sight is a line of TestSchedules about what happened, and how often.
var sight = regexp.MustCompile(
	`(?m)sim_test.go:\d+: +(\d+) (command|lock|loss|lease|overlap|process)(.*)$`)

// slow is a line about a schedule that was no failure, and took long.
var slow = regexp.MustCompile(`seed \d+ took .*`)

// summary is the last line of TestSchedules.
var summary = regexp.MustCompile(`(\d+) schedules in .* (\d+) failed`)

// count returns how many schedules there were, and how many of them failed.
func count(out string) (total, failed int) {
	if m := summary.FindStringSubmatch(out); m != nil {
		total, _ = strconv.Atoi(m[1])
		failed, _ = strconv.Atoi(m[2])
	}
	return total, failed
}
