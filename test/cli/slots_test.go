package cli

import (
	"fmt"
	"testing"
)

// TestOtherNumberOfSlots: --slots resizes nothing, so the user has to know that there are others.
func TestOtherNumberOfSlots(t *testing.T) {
	t.Parallel()
	name := lockName(t)
	lock := []string{"--semaphore", name}
	check := func(want string, args ...string) {
		t.Helper()
		got, err := run(nil, append(args, "true")...)
		if err != nil || got.code != 0 || got.stderr != want {
			t.Errorf("%q: %+v, %v; want %q", args, got, err, want)
		}
	}
	warning := fmt.Sprintf("amqprun: warning: --slots 3: the semaphore has 2; "+
		"amqprun change --semaphore %s --to 3 resizes it\n", name)
	check("", append(lock, "--slots", "2")...)
	check("", append(lock, "--slots", "2")...)
	check(warning, append(lock, "--slots", "3")...)
	check("", append(lock, "--slots", "3", "-q")...)
	if got, err := run(nil, append([]string{"destroy"}, lock...)...); err != nil || got.code != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}
