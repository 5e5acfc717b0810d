package runner

import (
	"time"

	"github.com/amqprun/amqprun/internal/sys"
)

// memory holds the pids of unrelated processes, so that looks which follow one another
// need not read the same files again. The zero value is empty.
type memory struct {
	pids   map[int]bool
	forget time.Duration // sys.Boottime
}

// memorySpan is for how long pids are remembered. The kernel uses a pid again when it has
// used up all others, 32768 by the smallest default of pid_max. A shorter span than a
// look takes where hundreds of commands are stopped at once would be of no use.
const memorySpan = 5 * time.Second

// recent returns the pids to skip and to add to.
func (m *memory) recent() map[int]bool {
	if now := sys.Boottime(); now > m.forget {
		m.pids, m.forget = make(map[int]bool), now+memorySpan
	}
	return m.pids
}
