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
	simAwake = func(process unsafe.Pointer, at int64) int64 {
		awake := *(*func(time.Time) time.Time)(process)
		return awake(time.Unix(0, at)).UnixNano()
	}
}

// belong makes this goroutine, and those that it starts, a part of a process. awake is
// when a timer of it fires that is set to an instant.
func belong(awake func(time.Time) time.Time) { simBelong(unsafe.Pointer(&awake)) }

func seedRuntime(seed uint64) { simDice = seed | 1 }
func unseedRuntime()          { simDice = 0 }
