package rig

import "testing"

// What the controls weaken must still be where they look for it: that shows here, long
// before somebody runs the laboratory again.
func TestChangesApply(t *testing.T) {
	for weakness, change := range weaknesses {
		if _, err := overlay("../../..", t.TempDir(), "weak", change); err != nil {
			t.Errorf("%s: %v", weakness, err)
		}
	}
	changes, err := wrongClock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := overlay("", t.TempDir(), "clock", changes...); err != nil {
		t.Error(err)
	}
}
