package runner

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// ReapOthers collects, until the function it returns is called, the children that process 1 gets when their parents end: in a container those of
// whoever looks into it, while no command runs that Run would do it beside. The guard, which may be nil, is not collected. Another process than 1 has
// no such children, and nothing is done.
func (g *Guard) ReapOthers() (stop func()) {
	if os.Getpid() != 1 {
		return func() {}
	}
	ended, stopped := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(ended, syscall.SIGCHLD)
	go func() {
		defer close(stopped)
		for range ended {
			for _, pid := range children() {
				if !g.is(pid) {
					_, _ = waitid(unix.P_PID, pid, unix.WEXITED)
				}
			}
		}
	}()
	return func() {
		signal.Stop(ended)
		close(ended)
		<-stopped
	}
}
