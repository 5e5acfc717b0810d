package cli

import (
	"strconv"
	"testing"

	"golang.org/x/sync/errgroup"
)

// TestEveryExitCodeOfTheCommandIsOurs goes through the codes that mean something of our
// own too: nothing is mapped.
func TestEveryExitCodeOfTheCommandIsOurs(t *testing.T) {
	lock := lockName(t)
	var group errgroup.Group
	group.SetLimit(4)
	for code := range 256 {
		group.Go(func() error {
			got, err := run(nil, "--mutex", lock+"-"+strconv.Itoa(code), "sh", "-c",
				"exit "+strconv.Itoa(code))
			if err != nil {
				return err
			}
			if got.code != code || got.stdout+got.stderr != "" {
				t.Errorf("exit %d became %d; stdout %q, stderr %q", code, got.code, got.stdout, got.stderr)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}
