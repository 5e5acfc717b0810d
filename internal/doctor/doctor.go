// Package doctor looks whether this machine has what amqprun needs.
package doctor

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/amqprun/amqprun/amqplock"
)

// fewFiles is what amqprun may need at once: its connections, the guard, and those of
// the Go runtime.
const fewFiles = 64

// Machine returns a finding for each thing that was looked at. A failure keeps amqprun
// from running a command. With a warning it promises less.
func Machine() []amqplock.Finding { return append(kernel(), files()) }

func files() amqplock.Finding {
	var limit unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	n := uint64(limit.Max) //nolint:unconvert // FreeBSD has int64
	return finding("files", fmt.Sprintf("at most %d are open", n), err == nil && n >= fewFiles,
		fmt.Sprintf("at most %d can be open, which may be too few", n),
		fmt.Sprintf("ulimit -n %d, or LimitNOFILE=%[1]d in a unit, where the limit was set", fewFiles))
}
