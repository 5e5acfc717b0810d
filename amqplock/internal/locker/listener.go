package locker

import "sync"

// listener is a function that is called after each change. The calls do not overlap. The
// function itself reads what has changed, so the last call has the newest.
type listener struct {
	mu sync.Mutex
	f  func() // nil is nobody
}

// set has f called, now for the first time.
func (l *listener) set(f func()) {
	l.mu.Lock()
	l.f = f
	l.mu.Unlock()
	l.call()
}

func (l *listener) call() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f != nil {
		l.f()
	}
}
