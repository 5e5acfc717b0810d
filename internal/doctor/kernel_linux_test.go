package doctor

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/amqprun/amqprun/internal/exit"
)

// TestSubreaper: doctor and a run have the same status where no command can be started.
func TestSubreaper(t *testing.T) {
	t.Parallel()
	if f := subreaper(nil); f.Level != "ok" || f.Err != nil {
		t.Errorf("it works: %+v", f)
	}
	f := subreaper(unix.EPERM)
	if f.Level != "failure" || exit.Status(f.Err) != exit.Failure {
		t.Errorf("it is refused: %+v, status %d", f, exit.Status(f.Err))
	}
}
