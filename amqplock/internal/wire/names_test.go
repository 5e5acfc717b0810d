package wire

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/amqprun/amqprun/amqplock/internal/fault"
)

func TestCheckName(t *testing.T) {
	for _, good := range []string{
		"builds", "a b", "größe", "a/b:c", "-x", "x-A", "x-A-", "x-A-1x", "x-W-", "x-w", "x-b-1",
		"amqp.x",
		strings.Repeat("x", maxName),
	} {
		if err := CheckName(good); err != nil {
			t.Errorf("CheckName(%q) = %v, want nil", good, err)
		}
	}
	for bad, why := range map[string]string{
		"":                             "is empty",
		"amq.x":                        "keeps for itself",
		"a\nb":                         "control character",
		"a\rb":                         "control character",
		"a\x00b":                       "control character",
		"a\x7fb":                       "control character",
		"a\u0085b":                     "control character",
		"\xff":                         "not valid UTF-8",
		"x-A-1":                        `"-A-1"`,
		"x-B-12":                       `"-B-12"`,
		"x-A-0":                        `"-A-0"`,
		"x-W":                          `"-W"`,
		"x-H":                          `"-H"`,
		"x-D":                          `"-D"`,
		"amqprun-witness":              "witness",
		strings.Repeat("x", maxName+1): "bytes long",
	} {
		err := CheckName(bad)
		if !errors.Is(err, fault.ErrConfig) || !strings.Contains(err.Error(), why) {
			t.Errorf("CheckName(%q) = %v, want fault.ErrConfig with %q", bad, err, why)
		}
	}
}

func TestLongestQueueNameFits(t *testing.T) {
	name := strings.Repeat("x", maxName)
	for _, queue := range []string{SlotQueue(name, MaxSlots+Overshoot), HeldQueue(name, MaxSlots),
		TargetBits(name, MaxSlots)[0], WaitQueue(name)} {
		if len(queue) > 255 {
			t.Errorf("queue name of %d bytes", len(queue))
		}
	}
}

// RabbitMQ from 4.0 on fails over the text of a refusal that it has to cut, if that has a
// character of several bytes anywhere. Questions about other names are spared.
func TestNamesOverWhichTheBrokerFails(t *testing.T) {
	for _, vhost := range []string{"/", "ci", strings.Repeat("v", 100), strings.Repeat("v", 255)} {
		for length := 2; length <= maxName; length++ {
			for at := range length - 1 {
				name := strings.Repeat("x", at) + "ü" + strings.Repeat("x", length-at-2)
				text := fmt.Sprintf("RESOURCE_LOCKED - cannot obtain exclusive access to locked queue "+
					"'%s' in vhost '%s'. It could be originally declared on another connection or the "+
					"exclusive property value does not match that of the original declaration.", name, vhost)
				if got, want := Fragile(vhost, name), len(text) > 255; got != want {
					t.Fatalf("%q in %q: %t, want %t", name, vhost, got, want)
				}
				slot := SlotQueue(name, 1)
				text = fmt.Sprintf("NOT_FOUND - no queue '%s' in vhost '%s'", slot, vhost)
				if got, want := FragileAbsence(vhost, slot), len(text) > 255; got != want {
					t.Fatalf("absence of %q in %q: %t, want %t", slot, vhost, got, want)
				}
			}
			name := strings.Repeat("x", length)
			if Fragile(vhost, name) || FragileAbsence(vhost, name) {
				t.Fatalf("%q", name)
			}
		}
	}
	// In such a virtual host each name is spared: the text of a refusal is long.
	const vhost = "x-büro"
	for length := 2; length <= maxName; length++ {
		for at := range length - 1 {
			name := strings.Repeat("x", at) + "ü" + strings.Repeat("x", length-at-2)
			for _, name := range []string{name, strings.Repeat("x", length)} {
				slot := SlotQueue(name, 1)
				text := fmt.Sprintf("NOT_FOUND - no queue '%s' in vhost '%s'", slot, vhost)
				if !Fragile(vhost, name) || FragileAbsence(vhost, slot) != (len(text) > 255) {
					t.Fatalf("%q in %q", name, vhost)
				}
			}
		}
	}
}

func TestTargetBitsAreEnough(t *testing.T) {
	if MaxSlots >= 1<<targetBits {
		t.Errorf("%d bits for %d slots", targetBits, MaxSlots)
	}
}

func TestDescribe(t *testing.T) {
	builds := Ref{Kind: Semaphore, Name: "builds"}
	for _, test := range []struct {
		ref   Ref
		slots []int
		want  string
	}{
		{Ref{Kind: Mutex, Name: "m"}, []int{0}, `mutex "m"`},
		{builds, nil, `semaphore "builds"`},
		{builds, []int{7}, `slot 7 of semaphore "builds"`},
		{builds, []int{1, 2, 5}, `slots 1, 2 and 5 of semaphore "builds"`},
		{builds, make([]int, 1500), `1500 slots of semaphore "builds"`},
	} {
		if got := test.ref.Describe(test.slots); got != test.want {
			t.Errorf("%v: %s, want %s", test.slots, got, test.want)
		}
	}
}
