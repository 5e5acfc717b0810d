package faults

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/amqprun/amqprun/test/lab/oracle"
	"github.com/amqprun/amqprun/test/lab/rig"
)

// Three hosts, whose wall clocks differ, start the same job within two seconds. One of
// them runs it. Where that run is killed with its amqprun, or fails, exactly one other
// runs it once more.
func TestOnceOfThreeHosts(t *testing.T) {
	t.Parallel()
	rig.NeedClocks(t)
	broker, random := rig.TheBroker(t), rig.Random(t)
	drawn := func() time.Duration { return time.Duration(random.Int64N(int64(2 * time.Second))) }
	for round := range rig.Faults(t) {
		fault := []string{"", "killed", "failed"}[round%3]
		delays := []time.Duration{0, drawn(), drawn()}
		slices.Sort(delays)
		ahead := []time.Duration{0, -90 * time.Second, 24 * time.Hour}
		if round/3%2 > 0 {
			slices.Reverse(ahead)
		}
		t.Run(fmt.Sprint(round, fault), func(t *testing.T) {
			t.Parallel()
			onceOfThree(t, broker, fault, delays, ahead)
		})
	}
}

func onceOfThree(t *testing.T, broker *rig.Broker, fault string, delays, ahead []time.Duration) {
	t.Helper()
	lock, hosts, begun := rig.NewLock(t, 0), map[string]*rig.Contender{}, rig.Now()
	length, runs, want := "1s", 1, []int{0, 75, 75}
	if fault != "" { // so the second run ends when the test has seen it
		length, runs = "1h", 2
	}
	for i, delay := range delays {
		rig.Pass(delay - (rig.Now() - begun))
		id := fmt.Sprint("host-", i)
		hosts[id] = lock.StartWrong(ahead[i], id, broker.URL,
			"--once", "1h", "--wait", "80", "--", "-for", length)
	}
	await := func(n int) oracle.Run {
		rig.WaitFor(t, rig.Patience, fmt.Sprint("run ", n), func() bool {
			return len(lock.History().Runs) >= n
		})
		return lock.History().Runs[n-1]
	}
	first := await(1)
	switch fault {
	case "killed":
		hosts[first.ID].AwaitGuard()
		hosts[first.ID].Signal(syscall.SIGKILL)
		want = []int{-1, 0, 75}
	case "failed":
		lock.KillCommand(first.ID)
		want = []int{0, 75, 128 + 9}
	}
	if fault != "" {
		if err := syscall.Kill(await(2).Pid, syscall.SIGTERM); err != nil {
			t.Error(err)
		}
	}
	var got []int
	for id, host := range hosts {
		rig.WaitFor(t, rig.Patience, id+" has ended", host.HasEnded)
		got = append(got, host.Code())
	}
	slices.Sort(got)
	if ran := len(lock.History().Runs); ran != runs || !slices.Equal(got, want) {
		t.Errorf("%d runs, statuses %v; want %d, %v", ran, got, runs, want)
	}
	lock.Verdict(0)
}
