package lease

import (
	"testing"
	"time"
)

func TestBootAlarm(t *testing.T) {
	t.Parallel()
	clock := BootClock{}
	a, err := clock.NewAlarm()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Stop()
	at := clock.Now() + 20*time.Millisecond
	a.Set(clock.Now() + time.Hour)
	a.Set(at)
	select {
	case <-a.C():
	case <-time.After(10 * time.Second):
		t.Fatal("the alarm did not fire")
	}
	if now := clock.Now(); now < at {
		t.Errorf("fired %s early", at-now)
	}
	a.Set(0) // the past
	select {
	case <-a.C():
	case <-time.After(10 * time.Second):
		t.Fatal("an alarm in the past did not fire")
	}
}

// The number of a closed descriptor may soon be another file's: an alarm leaves it alone.
func TestStoppedAlarmIsNotSet(t *testing.T) {
	t.Parallel()
	a, err := BootClock{}.NewAlarm()
	if err != nil {
		t.Fatal(err)
	}
	a.Stop()
	b, err := BootClock{}.NewAlarm() // likely with the same descriptor
	if err != nil {
		t.Fatal(err)
	}
	defer b.Stop()
	a.Set(1)
	select {
	case <-b.C():
		t.Error("it has set another alarm")
	case <-a.C():
		t.Error("it has fired after Stop")
	case <-time.After(50 * time.Millisecond):
	}
}
