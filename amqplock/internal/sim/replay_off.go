//go:build !simreplay

package sim

const replays = false

func seedRuntime(uint64) {}
func unseedRuntime()     {}

func (*party) belong() {}
