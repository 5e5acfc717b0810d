// Package cli tests the built program where the Bats tests would be too slow or too
// coarse. It tries many exit codes, and arguments that no shell likes to pass. The test
// binary runs itself again as the command under the lock.
package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// showArgs in the environment makes the test binary print its arguments, each ended by a
// NUL.
const showArgs = "AMQPRUN_TEST_SHOW_ARGS"

// patience bounds a run that should take a fraction of a second.
const patience = 60 * time.Second

var program string

func TestMain(m *testing.M) {
	if os.Getenv(showArgs) != "" {
		for _, arg := range os.Args {
			fmt.Print(arg, "\x00")
		}
		os.Exit(0)
	}
	// The caller's other variables for amqprun would change what is tested.
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "AMQPRUN_") &&
			name != "AMQPRUN_URL" {
			_ = os.Unsetenv(name)
		}
	}
	// Under the race detector every run of this binary as a command would otherwise end with
	// a pause of a second.
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0")
	os.Exit(buildAndTest(m))
}

func buildAndTest(m *testing.M) int {
	dir, err := os.MkdirTemp("", "amqprun-cli")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "amqprun")
	if out, err := exec.Command("go", "build", "-o", program, "../..").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// lockName is a lock that no other test run uses.
func lockName(t *testing.T) string {
	t.Helper()
	if os.Getenv("AMQPRUN_URL") == "" {
		t.Skip("no broker: AMQPRUN_URL is not set")
	}
	return fmt.Sprintf("%s-%d-%d", strings.ReplaceAll(t.Name(), "/", "-"), os.Getpid(),
		time.Now().UnixNano())
}

// result is what became of one run.
type result struct {
	code           int // -1 after a death by signal
	stdout, stderr string
}

// run runs the program with args and the additional variables env.
func run(env []string, args ...string) (result, error) {
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		return result{}, err
	}
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	if !timer.Stop() {
		return result{}, fmt.Errorf("%q took more than %s", args, patience)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return result{}, err
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}, nil
}
