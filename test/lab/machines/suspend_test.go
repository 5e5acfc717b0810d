package machines

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/amqprun/amqprun/test/lab/rig"
)

const exitLost = 76

// trials bounds how often a machine is suspended by one test.
const trials = 16

// sleeper is a machine that holds the lock, and a rival outside that waits for it.
type sleeper struct {
	*rig.Lock
	t      *testing.T
	holder *rig.Machine
	rival  *rig.Contender
	slept  time.Duration // by the host's clock
}

func newSleeper(t *testing.T, command ...string) *sleeper {
	t.Helper()
	s := &sleeper{Lock: rig.NewLock(t, 0), t: t}
	s.holder = s.StartMachine(rig.Holder, append([]string{"./machine"}, command...)...)
	s.holder.AwaitMessage("acquired mutex")
	s.rival = s.Start("rival", rig.TheBroker(t).URL, "--wait", "110", "--connect-timeout", "40")
	s.rival.AwaitMessage("waiting for")
	return s
}

// suspend suspends the machine for as long as a function takes.
func (s *sleeper) suspend(meanwhile func()) {
	s.t.Helper()
	s.holder.Sleep()
	asleep := s.holder.Said("^suspending$")
	meanwhile()
	s.slept = rig.Now() - asleep
	s.holder.Wake()
}

// lost checks the end of a holder that was asleep until the rival had its lock.
func (s *sleeper) lost() {
	s.t.Helper()
	s.holder.AwaitExit(exitLost)
	if s.rival.HasEnded() {
		s.t.Error("the rival has not kept the lock")
	}
	s.endRival()
	s.checkClocks()
	signs, went := s.afterWaking()
	rig.Figure(s.t, "suspended for", s.slept)
	rig.Figure(s.t, "command alive after waking", went)
	s.t.Logf("signs of life after waking: %d", signs)
	if went > rig.Slack {
		s.t.Errorf("the command went on for %s after waking", went)
	}
	if s.holder.Said("lost mutex") == 0 {
		s.t.Error("nothing said that the lock was lost")
	}
	s.nothingIsLeft()
}

func (s *sleeper) endRival() {
	s.t.Helper()
	if err := syscall.Kill(s.rival.AwaitStart().Pid, syscall.SIGTERM); err != nil {
		s.t.Error(err)
	}
	s.rival.AwaitExit(0)
}

// checkClocks checks that the machine's CLOCK_BOOTTIME counted the suspend, and that its
// CLOCK_MONOTONIC did not. A busy machine asks for both late, so they may show more.
func (s *sleeper) checkClocks() {
	s.t.Helper()
	var milliseconds [2]int
	for line := range strings.Lines(s.holder.Messages()) {
		if _, after, found := strings.Cut(line, "clocks: "); found {
			_, _ = fmt.Sscan(after, &milliseconds[0], &milliseconds[1])
		}
	}
	counted := time.Duration(milliseconds[0]) * time.Millisecond
	stood := time.Duration(milliseconds[1]) * time.Millisecond
	s.t.Logf("suspended for %s; CLOCK_BOOTTIME counted %s, CLOCK_MONOTONIC stood still for %s",
		s.slept, counted, stood)
	if least := s.slept - rig.Slack; counted < least || stood < least {
		s.t.Error("the clocks of the machine are not those of a suspended one")
	}
}

// afterWaking returns how many signs of life the machine's canary has given after waking,
// and how long it went on for.
func (s *sleeper) afterWaking() (signs int, went time.Duration) {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.Dir, "machine", "journal"))
	if err != nil {
		s.t.Fatal(err)
	}
	var before, woke time.Duration
	for line := range strings.Lines(string(text)) {
		var kind, id string
		var slot int
		var at time.Duration
		if _, err := fmt.Sscan(line, &kind, &id, &slot, &at); err != nil {
			s.t.Fatalf("journal line %q: %v", line, err)
		}
		switch {
		case woke != 0:
			signs, went = signs+1, at-woke
		case before != 0 && at-before > s.slept/2:
			signs, woke = 1, at
		}
		before = at
	}
	return signs, went
}

func (s *sleeper) nothingIsLeft() {
	s.t.Helper()
	if s.holder.Said("^left: ") != 0 {
		s.t.Error("processes were left in the machine")
	}
}

// A machine is suspended until another has its lock. In every second trial it has no
// network when it wakes, so only its clock shows that the lock is lost.
func TestSuspended(t *testing.T) {
	for trial := range min(rig.Faults(t), trials) {
		t.Run(fmt.Sprint(trial), func(t *testing.T) {
			s := newSleeper(t, "command", "-deaf", "-beat", "1ms")
			s.suspend(func() {
				if trial%2 == 1 {
					cutOff(t, s.holder.Network)
				}
				s.rival.AwaitStart()
			})
			s.lost()
		})
	}
}

// cutOff takes the interface down. The one who started the machine deletes it.
func cutOff(t *testing.T, network string) {
	t.Helper()
	if out, err := exec.Command("ip", "link", "set", network, "down").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// A script that holds the lock gets its signal, and release says that the lock was lost.
func TestSuspendedHold(t *testing.T) {
	s := newSleeper(t, "hold")
	s.suspend(func() { s.rival.AwaitStart() })
	s.lost()
	if s.holder.Said("^released with 76$") == 0 {
		t.Error("release did not end with 76")
	}
}

// A machine that is suspended for less than the lease keeps its lock.
func TestSuspendedBriefly(t *testing.T) {
	s := newSleeper(t, "command", "-for", "5s")
	s.suspend(func() { rig.Pass(rig.Heartbeat / 2) })
	s.holder.AwaitExit(0)
	s.endRival()
	s.checkClocks()
	if s.holder.Said("lost mutex") != 0 {
		t.Error("the lock was lost")
	}
	// The message is a little late.
	if ended := s.holder.Said("the command exited with 0"); s.Run("rival").Start < ended-rig.Slack {
		t.Error("the rival started before the command had ended")
	}
	s.nothingIsLeft()
}
