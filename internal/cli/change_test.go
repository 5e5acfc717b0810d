package cli

import (
	"strings"
	"testing"
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
