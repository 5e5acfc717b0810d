package amqplock

import (
	"testing"
	"testing/synctest"
	"time"
)

// held5s is a lock that was taken five seconds ago, so that it has been checked a few times.
func held5s(t *testing.T, cfg Config) (*Lock, *bubbleClock) {
	t.Helper()
	lock, err := Acquire(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Second)
	synctest.Wait()
	return lock, cfg.clock.(*bubbleClock)
}
