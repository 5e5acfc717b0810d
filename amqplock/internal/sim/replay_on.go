//go:build simreplay

package sim

import (
	"runtime"
	_ "unsafe"
)

//go:linkname simDice runtime.simDice
var simDice uint64

const replays = true

func init() { runtime.MemProfileRate = 0 }

func seedRuntime(seed uint64) { simDice = seed | 1 }
func unseedRuntime()          { simDice = 0 }
