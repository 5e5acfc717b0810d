package job

import (
	"os"
	"testing"
)

// TestNewerListStays: a change may come between the grant and the start of the command.
func TestNewerListStays(t *testing.T) {
	t.Parallel()
	f, err := newSlotsFile(true, t.Errorf)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	check := func(want string) {
		t.Helper()
		if text, err := os.ReadFile(f.path()); string(text) != want {
			t.Errorf("the file holds %q, %v; want %q", text, err, want)
		}
	}
	f.change([]int{2, 3})
	f.variables([]int{1, 2})
	check("2 3\n")
	f.change(nil)
	check("\n")
}

func TestFirstList(t *testing.T) {
	t.Parallel()
	f, err := newSlotsFile(true, t.Errorf)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	f.variables([]int{1, 2})
	if text, err := os.ReadFile(f.path()); string(text) != "1 2\n" {
		t.Errorf("the file holds %q, %v", text, err)
	}
}

// TestCleanedDirectory: something that cleans up /tmp may remove it.
func TestCleanedDirectory(t *testing.T) {
	t.Parallel()
	f, err := newSlotsFile(true, t.Errorf)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	f.variables([]int{1})
	if err := os.RemoveAll(f.dir); err != nil {
		t.Fatal(err)
	}
	f.change([]int{2})
	if text, err := os.ReadFile(f.path()); string(text) != "2\n" {
		t.Errorf("the file holds %q, %v", text, err)
	}
}
