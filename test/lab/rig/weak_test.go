package rig

import "testing"

// What the controls weaken must still be where they look for it: that shows here, long
// before somebody runs the laboratory again.
func TestWeaken(t *testing.T) {
	for weakness := range weaknesses {
		if _, err := weaken("../../..", t.TempDir(), weakness); err != nil {
			t.Errorf("%s: %v", weakness, err)
		}
	}
}
