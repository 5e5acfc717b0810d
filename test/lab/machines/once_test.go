package machines

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/amqprun/amqprun/test/lab/rig"
)

// Three machines whose wall clocks differ start the same job within a second, again and
// again. One of them runs it. Where that run is killed with its amqprun, or fails,
// exactly one other runs it once more.
func TestOnceOfThreeMachines(t *testing.T) {
	lock, rounds, random := rig.NewLock(t, 0), rig.Faults(t), rig.Random(t)
	ahead := []time.Duration{0, -90 * time.Second, 24 * time.Hour}
	var machines []*rig.Machine
	for i, by := range ahead {
		host := fmt.Sprint("host-", i)
		machines = append(machines, lock.StartMachine(host, "./machine", "once", host,
			fmt.Sprint(by.Seconds()), fmt.Sprint(rounds), fmt.Sprint(random.IntN(1<<15))))
	}
	for i, m := range machines {
		rig.WaitFor(t, rig.Patience*time.Duration(rounds), m.ID+" has ended", m.HasEnded)
		m.AwaitExit(0)
		checkClock(t, filepath.Join(lock.Dir, m.ID+".clock"), ahead[i])
	}
	for round := range rounds {
		checkRound(t, filepath.Join(lock.Dir, fmt.Sprint(round)), round%3)
	}
	t.Logf("%d rounds", rounds)
}

// checkClock looks at a file that a machine has written at its end, with its own time.
// The file has the time of the host.
func checkClock(t *testing.T, file string, ahead time.Duration) {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	is := time.Unix(int64(number(t, file)), 0).Sub(info.ModTime())
	if (is - ahead).Abs() > time.Minute {
		t.Errorf("%s: the clock was %s ahead, and was to be %s", file, is, ahead)
	}
}

func checkRound(t *testing.T, folder string, fault int) {
	t.Helper()
	ran, _ := filepath.Glob(filepath.Join(folder, "run-*"))
	runs, want := []int{1, 2, 2}[fault], [][]int{{0, 75, 75}, {0, 75, 128 + 9}, {0, 1, 75}}[fault]
	var got []int
	files, _ := filepath.Glob(filepath.Join(folder, "*.status"))
	for _, file := range files {
		got = append(got, number(t, file))
	}
	slices.Sort(got)
	_, missing := os.Stat(filepath.Join(folder, "overlap"))
	if len(ran) == runs && slices.Equal(got, want) && missing != nil {
		return
	}
	t.Errorf("%s: %d runs, statuses %v; want %d, %v; one began while another was alive: %v",
		folder, len(ran), got, runs, want, missing == nil)
	messages, _ := filepath.Glob(filepath.Join(folder, "*.messages"))
	for _, file := range messages {
		text, _ := os.ReadFile(file)
		t.Logf("%s:\n%s", file, text)
	}
}

func number(t *testing.T, file string) int {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
