//go:build unix && !linux

package runner

import "syscall"

// tree is the group alone. Nothing else can be found here.
type tree struct{ pgid int }

func (t tree) alive() bool { return syscall.Kill(-t.pgid, 0) != syscall.ESRCH }

// members returns nil, or one entry that stands for a group that is not empty.
func (t tree) members() []int {
	if t.alive() {
		return []int{t.pgid}
	}
	return nil
}

func (t tree) signal(...syscall.Signal) {}

func (t tree) signalAdopted(...syscall.Signal) {}
