//go:build !simreplay

package sim

import "time"

const replays = false

func seedRuntime(uint64) {}
func unseedRuntime()     {}

func belong(func(time.Time) time.Time) {}
