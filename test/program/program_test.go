package program

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

func TestRunReturnsEachStreamAndTheStatus(t *testing.T) {
	got := Run(t, nil, "--mutex", "m")
	if got.Code != 64 || got.Stdout != "" || got.Stderr == "" {
		t.Errorf("a call without a command gave %+v, want status 64 and a message", got)
	}
	if got := Run(t, nil, "--version"); got.Code != 0 || got.Stdout == "" {
		t.Errorf("--version gave %+v", got)
	}
}

func TestLockNamesDiffer(t *testing.T) {
	t.Setenv("AMQPRUN_URL", "amqp://127.0.0.1:1/")
	if a, b := LockName(t), LockName(t); a == b {
		t.Errorf("%q twice", a)
	}
}

func TestExecutablesRunWhileOthersFork(t *testing.T) {
	for range 8 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			for range 50 {
				path := filepath.Join(t.TempDir(), "script")
				WriteExecutable(t, path, []byte("#!/bin/sh\n"))
				if err := exec.Command(path).Run(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
