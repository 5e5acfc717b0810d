package console

import (
	"testing"

	"github.com/amqprun/amqprun/amqplock"
)

func TestHeldBy(t *testing.T) {
	t.Parallel()
	joe := amqplock.Participant{About: amqplock.About{User: "joe", Host: "ci-7", Command: "make all"}}
	for want, holders := range map[string][]amqplock.Participant{
		"":                             nil,
		", held by joe@ci-7: make all": {joe},
		", held by joe@ci-7: make all and 2 more": {joe, {}, {}},
	} {
		if got := heldBy(holders); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
