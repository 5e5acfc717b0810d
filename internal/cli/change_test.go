package cli

import (
	"strings"
	"testing"

	"github.com/amqprun/amqprun/internal/exit"
)

func TestCount(t *testing.T) {
	t.Parallel()
	const many = "a semaphore has at most 100000 slots"
	const number = "must be a whole number, such as 3, +3 or -1"
	for count, want := range map[string]string{
		"3": "", "+3": "", "-1": "", "100000": "", "-100000": "",
		"100001": many, "-100001": many, "9223372036854775807": many, "-9223372036854775808": many,
		"99999999999999999999": many, "many": number, "": number, "1.5": number,
	} {
		_, err := changeOf(&options{args: []string{count}})
		if (err == nil) != (want == "") || err != nil && !strings.HasSuffix(err.Error(), ": "+want) {
			t.Errorf("%q: %v, want %q", count, err, want)
		}
	}
}

// TestAbsurdNumbers: they are refused before anything is contacted. Nothing listens on
// the port.
func TestAbsurdNumbers(t *testing.T) {
	for _, args := range []string{
		"change --semaphore s 9223372036854775807", "change --semaphore s -9223372036854775808",
		"change --semaphore s 99999999999999999999", "change --semaphore s -99999999999999999999",
		"change --semaphore s --drain -9223372036854775808", "change --semaphore s --drain -100001",
		"change --semaphore s --drain 1", "change --semaphore s --drain --to 100001",
		"change --semaphore s --to 100001", "change --semaphore s --to -1",
		"change --semaphore s --to 9223372036854775807", "change --semaphore s --to 99999999999999999999",
		"--semaphore s --create 0 true", "--semaphore s --create -1 true",
		"--semaphore s --create 100001 true", "--semaphore s --create 9223372036854775807 true",
		"--semaphore s --create 99999999999999999999 true", "--semaphore s --count 0 true",
		"--semaphore s --count -1 true", "--semaphore s --count 100001 true",
		"--semaphore s --count 9223372036854775807 true",
		"--semaphore s --count 99999999999999999999 true",
		"history --mutex m -n 0", "history --mutex m -n 99999999999999999999",
	} {
		t.Setenv("AMQPRUN_URL", "amqp://127.0.0.1:1/")
		if got := Main(append([]string{"amqprun"}, strings.Fields(args)...), "").Code; got != exit.Usage {
			t.Errorf("%s ends with %d", args, got)
		}
	}
}
