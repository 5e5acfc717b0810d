package console

import (
	"errors"
	"os"
	"time"

	"github.com/amqprun/amqprun/runner"
	"golang.org/x/sys/unix"
)

// stderr is standard error as an io.Writer.
type stderr struct{}

func (stderr) Write(line []byte) (int, error) {
	write(string(line))
	return len(line), nil
}

// write works from the background too, also where the terminal stops whoever does that
// (stty tostop). Messages must not stop the holder of a lock.
func write(text string) {
	runner.Unstoppable(func() { _, _ = os.Stderr.WriteString(text) })
}

// writable reports whether standard error takes a line within patience. A terminal after
// Ctrl-S and a full pipe do not.
func writable(patience time.Duration) bool {
	for deadline := time.Now().Add(patience); ; {
		fds := []unix.PollFd{{Fd: int32(unix.Stderr), Events: unix.POLLOUT}}
		n, err := unix.Poll(fds, int(max(time.Until(deadline), 0).Milliseconds()))
		if !errors.Is(err, unix.EINTR) {
			return err != nil || n > 0 // the write finds out what is wrong with it
		}
	}
}
