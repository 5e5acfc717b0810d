package runner

import (
	"runtime"
	"sync"
)

// reserveThreads makes n threads that the Go runtime keeps and uses instead of new ones.
// The runtime ends the process when it can make no thread. A command can use up the
// limit of processes (RLIMIT_NPROC, pids.max), which counts threads of amqprun too.
func reserveThreads(n int) {
	var all sync.WaitGroup
	all.Add(n)
	for range n {
		go func() {
			// The runtime has to find another thread for the next goroutine.
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			all.Done()
			all.Wait()
		}()
	}
	all.Wait()
}
