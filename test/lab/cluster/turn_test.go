package cluster

import (
	"os"
	"syscall"
	"testing"
)

// begin waits until the cluster is whole, and no other cluster needs the machine for
// itself.
func begin(t *testing.T) {
	t.Helper()
	turn(t, syscall.LOCK_SH)
	whole(t)
}

// alone is begin for a test that needs the whole machine, such as one with hundreds of
// processes. No other cluster is tested meanwhile.
func alone(t *testing.T) {
	t.Helper()
	turn(t, syscall.LOCK_EX)
	whole(t)
}

// turn locks the file that all clusters share until the end of the test. One that waits
// for it keeps the gate, so that none waits for ever.
func turn(t *testing.T, how int) {
	t.Helper()
	name := os.Getenv("AMQPRUN_LAB_TURN")
	if name == "" {
		return
	}
	gate := flock(t, name+".gate", syscall.LOCK_EX)
	all := flock(t, name, how)
	_ = gate.Close()
	t.Cleanup(func() { _ = all.Close() })
}

func flock(t *testing.T, name string, how int) *os.File {
	t.Helper()
	file, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(file.Fd()), how); err != nil {
		t.Fatal(err)
	}
	return file
}
