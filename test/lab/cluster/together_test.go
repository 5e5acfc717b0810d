package cluster

import (
	"sync"
	"testing"
	"time"

	"github.com/amqprun/amqprun/test/lab/rig"
)

// at has one of the duels do something to the cluster when each has come as far. It
// returns when that began.
type at func(what func()) time.Duration

// together runs a test of each kind at once, so that all meet the same faults. The most
// of their time is that of the nodes, which have to notice, and to become whole again.
func together(t *testing.T, all map[string]kind, test func(*testing.T, kind, at)) {
	t.Helper()
	m := &meeting{}
	m.all = sync.NewCond(&m.mu)
	for name, k := range all {
		t.Run(name, func(t *testing.T) {
			m.parties++ // before any goes on
			t.Parallel()
			defer m.leave()
			test(t, k, m.at)
		})
	}
}

// meeting is where the parties wait for each other.
type meeting struct {
	mu      sync.Mutex
	all     *sync.Cond
	parties int
	here    int // of them wait
	acted   int // so often
	what    func()
	began   time.Duration
}

func (m *meeting) at(what func()) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.acted
	m.what = what
	m.here++
	m.tryAct()
	for m.acted == before {
		m.all.Wait()
	}
	return m.began
}

// leave is for one that has ended, perhaps because it failed.
func (m *meeting) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.parties--
	m.tryAct()
}

func (m *meeting) tryAct() {
	if m.here == 0 || m.here < m.parties {
		return
	}
	defer m.all.Broadcast() // also after t.Fatal
	m.acted++
	m.here = 0
	m.began = rig.Now()
	m.what()
}

// kind is that of a lock.
type kind struct {
	slots  int // 0 for a mutex
	fenced bool
}

func (k kind) lock(t *testing.T) *rig.Lock {
	t.Helper()
	if k.fenced {
		return rig.NewLock(t, k.slots).Fence()
	}
	return rig.NewLock(t, k.slots)
}

func kinds() map[string]kind { return map[string]kind{"mutex": {}, "semaphore": {slots: 1}} }
