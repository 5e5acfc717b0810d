//go:build !simreplay

package sim

func seedRuntime(uint64) {}
func unseedRuntime()     {}
