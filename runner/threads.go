package runner

import (
	"runtime"
	"sync"
)

// spareThreads is how many threads Run needs before the command can use up its limit of
// processes. No more block at once. One has started the command and stays for it, see
// execute. One is in a system call of Run. One writes to a terminal or a pipe, and one to
// the broker. One is in the timer of the grace. One goes on beside these.
const spareThreads = 6

// reserved is of the process, as its threads are.
var reserved sync.Once

// ReserveThreads makes the threads that Run needs. The first call does so, and every call
// returns when they are there. Run calls it too. A process that waits for a lock calls it
// meanwhile: between the grant and the command it would take a seventh of a hand-over.
// The process must catch its signals before, because that takes a thread for good.
func ReserveThreads() { reserved.Do(func() { reserveThreads(spareThreads) }) }

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
