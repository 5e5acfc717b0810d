package history

import (
	"context"
	"testing"
	"time"
)

// One that does not get the lock gives up the opening of its log at any moment. Its
// connection has other users: a request that is sent behind the end of its channel would
// cost them the connection.
func TestAnOpeningThatIsGivenUpLeavesTheConnectionAlone(t *testing.T) {
	t.Parallel()
	l := testLog(t)
	mustGrant(t, l, "a")
	for i := range 200 {
		ctx, cancel := context.WithTimeout(deadline(t), time.Duration(i)*20*time.Microsecond)
		if tail, err := l.Open(ctx); err == nil {
			tail.Close()
		}
		cancel()
	}
	mustGrant(t, l, "b")
}
