//go:build unix && !linux

package runner

// CanPause says that Command.Pause works on this system. It does not: nobody could find
// processes that have left the group.
const CanPause = false

func (r *family) freeze() bool { return false }
