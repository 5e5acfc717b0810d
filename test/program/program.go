// Package program builds amqprun and runs it, for the Go tests of whole programs.
package program

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// patience bounds a run that should take a fraction of a second. It says nothing about
// speed.
const patience = 60 * time.Second

// dir is where the programs of this test binary are. Main removes it.
var dir = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "amqprun-program") })

var amqprun = sync.OnceValues(func() (string, error) { return Build("amqprun", ".") })

// Main runs the tests of a package and removes the programs that Build has built. Tests
// see none of the caller's settings of amqprun but the broker: others would change what
// is tested.
//
//	func TestMain(m *testing.M) { os.Exit(program.Main(m)) }
func Main(m *testing.M) int {
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "AMQPRUN_") && !isBroker(name) {
			_ = os.Unsetenv(name)
		}
	}
	return Clean(m.Run)
}

func isBroker(name string) bool {
	switch name {
	case "AMQPRUN_URL", "AMQPRUN_BROKER_DIR", "AMQPRUN_TEST_BROKER":
		return true
	}
	return false
}

// Clean calls run, removes what Build has built, and returns what run returned. Main is
// Clean with a clean environment.
func Clean(run func() int) int {
	defer func() {
		if path, err := dir(); err == nil {
			_ = os.RemoveAll(path)
		}
	}()
	return run()
}

// Path returns the path of amqprun, which the first call of a test binary builds. It is
// the program as it is shipped: static, and without the race detector.
func Path(t testing.TB) string {
	t.Helper()
	path, err := amqprun()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Build builds a main package, named by its folder under the root of the module, and
// returns the path of the program. The file name must be used once in a test binary.
func Build(name, folder string, flags ...string) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	parent, err := dir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(parent, name)
	args := append([]string{"build", "-o", path}, flags...)
	build := exec.Command("go", append(args, "./"+folder)...)
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", folder, err, out)
	}
	return path, nil
}

// WriteExecutable writes a program or a script that the test then runs. A test beside it
// may fork meanwhile. Its child would keep the file open for writing until it executes
// something. Nobody can execute such a file ("text file busy"). So nothing of this
// process forks while the file is open. Every user may execute the file.
func WriteExecutable(t testing.TB, path string, contents []byte) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, contents, 0o755); err != nil {
		t.Fatal(err)
	}
}

// Root returns the root folder of the module. Go runs tests in the folder of their
// package.
func Root() (string, error) {
	at, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(at, "go.mod")); missing == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", errors.New("no go.mod above the test")
		}
		at = filepath.Dir(at)
	}
	return "", err
}

var locks atomic.Int64

// LockName returns a lock name that no other test uses. It skips the test where there is
// no broker.
func LockName(t testing.TB) string {
	t.Helper()
	if os.Getenv("AMQPRUN_URL") == "" {
		t.Skip("no broker: AMQPRUN_URL is not set")
	}
	name := strings.ReplaceAll(t.Name(), "/", "-")
	return fmt.Sprintf("%s-%d-%d-%d", name, os.Getpid(), time.Now().UnixNano(), locks.Add(1))
}

// Result is the end of one run.
type Result struct {
	Code           int // -1 after a death by signal
	Stdout, Stderr string
}

// Run runs amqprun to its end, with env added to the environment. The test fails, and the
// code is -1, if that takes longer than a minute. Goroutines of a test may call it once
// Path has returned.
func Run(t testing.TB, env []string, args ...string) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, Path(t), args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if ctx.Err() != nil || (err != nil && !errors.As(err, &exit)) {
		t.Errorf("amqprun %q: %v; %v", args, err, ctx.Err())
		return Result{-1, stdout.String(), stderr.String()}
	}
	return Result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// Broker runs scripts/broker, with env added to the environment. It returns the output
// without its last newline.
func Broker(t testing.TB, env []string, args ...string) string {
	t.Helper()
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	// A broker starts within seconds, on a busy machine within a minute. The script tries
	// three times.
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, filepath.Join(root, "scripts", "broker"), args...)
	command.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("scripts/broker %q: %v\n%s%s", args, err, out, stderr.String())
	}
	return strings.TrimRight(string(out), "\n")
}

// FreeAddress returns a loopback address where nobody listens, for a server that cannot
// listen on port 0. The port is below the range that the kernel takes for outgoing
// connections. Such a connection could take the port before the server listens.
func FreeAddress(t testing.TB) string {
	t.Helper()
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(20000))
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		_ = l.Close()
		return address
	}
	t.Fatal("no free port")
	return ""
}
