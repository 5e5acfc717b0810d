package cli

import (
	"strconv"
	"testing"

	"github.com/amqprun/amqprun/test/program"
	"golang.org/x/sync/errgroup"
)

// TestEveryExitCodeOfTheCommandIsOurs goes through the codes that mean something of our
// own too: nothing is mapped.
func TestEveryExitCodeOfTheCommandIsOurs(t *testing.T) {
	t.Parallel()
	lock := program.LockName(t)
	program.Path(t) // before the goroutines, which cannot build it
	var group errgroup.Group
	group.SetLimit(4)
	for code := range 256 {
		group.Go(func() error {
			got := program.Run(t, nil, "--mutex", lock+"-"+strconv.Itoa(code), "sh", "-c",
				"exit "+strconv.Itoa(code))
			if got.Code != code || got.Stdout+got.Stderr != "" {
				t.Errorf("exit %d became %d; stdout %q, stderr %q", code, got.Code, got.Stdout, got.Stderr)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}
