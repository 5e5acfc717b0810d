package wire

import "testing"

func TestBefore(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{
		"3.10.8": true, "4.0.5": true, "4.2.11": true, "4.2.0-rc.1": true, "<nil>": true, "": true,
		"4.3.0": false, "4.3.6": false, "4.10.1": false, "5.0.0": false, "4.3.0-beta.1": false,
	} {
		if got := before(version, 4, 3); got != want {
			t.Errorf("%q: %t, want %t", version, got, want)
		}
	}
}
