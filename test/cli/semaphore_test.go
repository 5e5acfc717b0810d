package cli

import (
	"fmt"
	"testing"

	"github.com/amqprun/amqprun/test/program"
)

// TestOtherNumberOfSlots: --slots resizes nothing, so the user has to know that there are
// others.
func TestOtherNumberOfSlots(t *testing.T) {
	t.Parallel()
	name := program.LockName(t)
	lock := []string{"--semaphore", name}
	check := func(want string, args ...string) {
		t.Helper()
		got := program.Run(t, nil, append(args, "true")...)
		if got.Code != 0 || got.Stderr != want {
			t.Errorf("%q: %+v; want %q", args, got, want)
		}
	}
	warning := fmt.Sprintf("amqprun: warning: semaphore %q has 2 slots, not 3; "+
		"amqprun change --semaphore %[1]s --to 3 resizes it\n", name)
	check("", append(lock, "--slots", "2")...)
	check("", append(lock, "--slots", "2")...)
	check(warning, append(lock, "--slots", "3")...)
	check("", append(lock, "--slots", "3", "-q")...)
	if got := program.Run(t, nil, append([]string{"destroy"}, lock...)...); got.Code != 0 {
		t.Errorf("%+v", got)
	}
}
