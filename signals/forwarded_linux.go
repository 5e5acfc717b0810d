package signals

import "syscall"

// forwardedHere is the part of Forwarded that other systems do not have. Go lets nobody
// catch the first three real-time signals: the C libraries use them.
var forwardedHere = func() []syscall.Signal {
	const first = 35
	set := []syscall.Signal{syscall.SIGPWR, syscall.SIGSTKFLT}
	for s := syscall.Signal(first); s <= highest; s++ {
		set = append(set, s)
	}
	return set
}()
