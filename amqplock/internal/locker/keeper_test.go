package locker

import (
	"context"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/amqprun/amqprun/amqplock/internal/lease"
)

// The checks end when they are stopped, also on a machine where each of them is late.
func TestLateChecksEnd(t *testing.T) {
	t.Parallel()
	clock := &fakeClock{now: time.Hour}
	pacer, err := clock.NewAlarm()
	if err != nil {
		t.Fatal(err)
	}
	checking, stop := context.WithCancel(t.Context())
	k := &keeper{cfg: Config{clock: clock}, pacer: pacer, checking: checking}
	if _, ok := k.sleep(time.Minute, nil); !ok {
		t.Error("a late check is left out")
	}
	stop()
	if _, ok := k.sleep(time.Minute, nil); ok {
		t.Error("the checks go on")
	}
}

// Answers to several checks come at once. OnRenew never gets an earlier lease behind a
// later one.
func TestRenewalsNeverGoBack(t *testing.T) {
	t.Parallel()
	checks := []string{"a", "b"}
	clock := &fakeClock{now: time.Hour}
	k := &keeper{cfg: Config{clock: clock}, lease: lease.New(10*time.Second, time.Second, checks)}
	newest := time.Duration(0)
	k.OnRenew(func(_, until time.Duration) {
		if until < newest {
			t.Errorf("%s after %s", until, newest)
		}
		newest = until
	})
	var all errgroup.Group
	for range 4 {
		all.Go(func() error {
			for range 2000 {
				clock.jump(time.Second)
				sent := clock.Now()
				for i := range checks {
					k.lease.Prove(i, sent)
				}
				k.renewed()
			}
			return nil
		})
	}
	_ = all.Wait()
}
