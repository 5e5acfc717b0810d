package rig

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amqprun/amqprun/test/program"
)

// wrongClock are the changes of Go's library with which the wall clock of a process is
// wrong by LAB_CLOCK seconds. Nothing of a process can change the clock of the kernel,
// and no namespace has a wall clock of its own.
func wrongClock() ([]change, error) {
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, err
	}
	folder := filepath.Join(strings.TrimSpace(string(goroot)), "src", "time")
	return []change{
		{
			filepath.Join(folder, "time.go"),
			"\tsec, nsec, mono := runtimeNow()\n",
			"\tsec, nsec, mono := runtimeNow()\n\tsec += wrongBy\n",
		},
		{
			filepath.Join(folder, "sys_unix.go"),
			"\t\"syscall\"\n)\n",
			"\t\"syscall\"\n)\n\nvar wrongBy int64\n\nfunc init() {\n" +
				"\ttext, _ := syscall.Getenv(\"LAB_CLOCK\")\n\tn, _ := atoi(text)\n" +
				"\twrongBy = int64(n)\n}\n",
		},
	}, nil
}

// wrongHolder is the program of holders with such a clock.
var wrongHolder = sync.OnceValues(func() (string, error) {
	root, err := program.Root()
	if err != nil {
		return "", err
	}
	changes, err := wrongClock()
	if err != nil {
		return "", err
	}
	weakness, err := weakened()
	if err != nil {
		return "", err
	}
	return buildWith(root, "amqprun-wrong-clock", append(changes, weakness...)...)
})

// NeedClocks builds the program of StartWrong. The first time on a machine that takes as
// long as Go's library takes to compile.
func NeedClocks(t *testing.T) {
	t.Helper()
	if _, err := wrongHolder(); err != nil {
		t.Fatal(err)
	}
}

// StartWrong is Start for a holder with a wrong wall clock. The test has called
// NeedClocks.
func (l *Lock) StartWrong(by time.Duration, id, url string, options ...string) *Contender {
	l.t.Helper()
	program, err := wrongHolder()
	if err != nil {
		l.t.Fatal(err)
	}
	args := []string{fmt.Sprintf("LAB_CLOCK=%.0f", by.Seconds()), program}
	return l.start(id, url, "env", append(args, l.arguments(id, options)...)...)
}
