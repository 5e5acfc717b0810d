//go:build simreplay

package sim

import (
	"runtime"
	"time"
	"unsafe"
)

//go:linkname simDice runtime.simDice
var simDice uint64

//go:linkname simBelong runtime.simBelong
var simBelong func(unsafe.Pointer)

//go:linkname simAwake runtime.simAwake
var simAwake func(unsafe.Pointer, int64) int64

const replays = true

func init() {
	runtime.MemProfileRate = 0
	simAwake = func(q unsafe.Pointer, at int64) int64 { return (*party)(q).awake(at) }
}

// belong makes this goroutine, and those that it starts, a part of the party's process.
func (q *party) belong() { simBelong(unsafe.Pointer(q)) }

func seedRuntime(seed uint64) { simDice = seed | 1 }
func unseedRuntime()          { simDice = 0 }

// awake is when a timer fires: the process may be stopped at its instant.
func (q *party) awake(at int64) int64 {
	return q.over("freeze", time.Unix(0, at)).UnixNano()
}
