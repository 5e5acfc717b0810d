// Package cli tests the built program where the Bats tests would be too slow or too
// coarse. It tries many exit codes, and arguments that no shell likes to pass. The test
// binary runs itself again as the command under the lock.
package cli

import (
	"fmt"
	"os"
	"testing"

	"github.com/amqprun/amqprun/test/program"
)

// showArgs in the environment makes the test binary print its arguments, each ended by a
// NUL.
const showArgs = "AMQPRUN_TEST_SHOW_ARGS"

func TestMain(m *testing.M) {
	if os.Getenv(showArgs) != "" {
		for _, arg := range os.Args {
			fmt.Print(arg, "\x00")
		}
		os.Exit(0)
	}
	// Under the race detector every run of this binary as a command would otherwise end with
	// a pause of a second.
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0")
	os.Exit(program.Main(m))
}
