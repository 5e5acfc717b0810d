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
	warning := func(has string, want int) string {
		return fmt.Sprintf("amqprun: warning: semaphore %q has %s %d; "+
			"amqprun change --semaphore %[1]s --to %[3]d resizes it\n", name, has, want)
	}
	check("", append(lock, "--create", "2")...)
	check("", append(lock, "--slots", "2")...)
	check(warning("2 slots, not", 3), append(lock, "--create", "3")...)
	check("", append(lock, "--slots", "3", "-q")...)
	change := append([]string{"change", "--to", "9"}, lock...)
	if got := program.Run(t, nil, change...); got.Code != 0 {
		t.Errorf("%+v", got)
	}
	check("", append(lock, "--create", "9")...) // nobody counts so many
	check(warning("more slots than", 8), append(lock, "--create", "8")...)
	check(warning("fewer slots than", 10), append(lock, "--create", "10")...)
	if got := program.Run(t, nil, append([]string{"destroy"}, lock...)...); got.Code != 0 {
		t.Errorf("%+v", got)
	}
}
