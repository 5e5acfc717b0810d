package job

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/internal/exit"
)

// TestEnvironment: what an outer amqprun has set is replaced, and its locks and IDs stay.
func TestEnvironment(t *testing.T) {
	for name, value := range map[string]string{
		"AMQPRUN_SLOT": "9", "AMQPRUN_SLOTS_FILE": "/outer",
		"AMQPRUN_LOCKS": "mutex:outer@x", "AMQPRUN_ID": "hold", "AMQPRUN_IDS": "1 2", "PLAIN": "a=b",
	} {
		t.Setenv(name, value)
	}
	s := Spec{ID: "id", Lock: amqplock.Semaphore("my builds"), Broker: amqplock.Broker{
		URLs: []string{"amqp://u:p@host/"},
	}}
	env := environment(s, []int{2, 5}, 0)
	for _, want := range []string{
		"AMQPRUN_LOCK=my builds", "AMQPRUN_KIND=semaphore", "AMQPRUN_SLOT=2", "AMQPRUN_SLOTS=2 5",
		"AMQPRUN_COUNT=2", "AMQPRUN_ID=id", "AMQPRUN_IDS=1 2 id", "PLAIN=a=b",
		"AMQPRUN_LOCKS=mutex:outer@x semaphore:my+builds@amqp%3A%2F%2Fhost%3A5672",
	} {
		name, _, _ := strings.Cut(want, "=")
		got := slices.DeleteFunc(slices.Clone(env), func(entry string) bool {
			return !strings.HasPrefix(entry, name+"=")
		})
		if !slices.Equal(got, []string{want}) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if i := slices.IndexFunc(env, func(entry string) bool {
		return strings.HasPrefix(entry, slotsFileVariable+"=")
	}); i >= 0 {
		t.Errorf("the file of an outer lock stays: %s", env[i])
	}
}

func TestNestedLock(t *testing.T) {
	s := Spec{Lock: amqplock.Mutex("m"), Broker: amqplock.Broker{
		URLs: []string{"amqp://a/", "amqp://b/"},
	}}
	t.Setenv("AMQPRUN_LOCKS", "mutex:m@amqp%3A%2F%2Fc%3A5672 semaphore:m@amqp%3A%2F%2Fa%3A5672")
	if err := refuseNested(s); err != nil {
		t.Errorf("another lock is refused: %v", err)
	}
	t.Setenv("AMQPRUN_LOCKS", "x mutex:m@amqp%3A%2F%2Fb%3A5672")
	err := refuseNested(s)
	var usage *exit.UsageError
	if !errors.As(err, &usage) || !strings.HasPrefix(err.Error(), `mutex "m" is already held`) {
		t.Errorf("got %v", err)
	}
}
