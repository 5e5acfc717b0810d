package signals

import "syscall"

// commonHere is the part of common that other systems do not have.
var commonHere = []syscall.Signal{syscall.SIGPWR, syscall.SIGSTKFLT}

// realTime are the real-time signals. Go lets nobody catch the first three: the C
// libraries use them.
var realTime = func() []syscall.Signal {
	const first, last = 35, 64
	var set []syscall.Signal
	for s := syscall.Signal(first); s <= last; s++ {
		set = append(set, s)
	}
	return set
}()
