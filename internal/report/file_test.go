package report

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/internal/exit"
)

func TestWriteFollowsLinksAndKeepsTheMode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	for _, step := range []func() error{
		func() error { return os.Symlink("file", link) },
		func() error { return Check(link) },
		func() error { return write(link, []byte("new")) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Lstat(file)
	if err != nil || info.Mode() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if text, err := os.ReadFile(file); string(text) != "new" {
		t.Errorf("%q, %v", text, err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is replaced: %v, %v", info.Mode(), err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 2 {
		t.Errorf("left behind: %v, %v", names, err)
	}
}

func TestWriteThroughADanglingLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink("later", link); err != nil {
		t.Fatal(err)
	}
	if err := Check(link); err != nil {
		t.Error(err)
	}
	if err := write(link, []byte("x")); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "later")); string(text) != "x" {
		t.Errorf("%q, %v", text, err)
	}
}

// "link/.." is the parent of what the link leads to, also in the words of another link.
// TestPlantedLink: somebody may have put it into /tmp.
func TestPlantedLink(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root, to be another user too")
	}
	const nobody = 65534
	for name, c := range map[string]struct {
		mode   os.FileMode
		linker int
		bad    bool
	}{
		"of another":            {0o777 | os.ModeSticky, nobody, true},
		"of ours":               {0o777 | os.ModeSticky, 0, false},
		"where all are trusted": {0o777, nobody, false},
		"in our directory":      {0o755 | os.ModeSticky, nobody, false},
	} {
		dir := t.TempDir()
		file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
		if err := errors.Join(
			os.Chmod(dir, c.mode), os.WriteFile(file, []byte("old"), 0o600),
			os.Symlink(file, link), os.Lchown(link, c.linker, c.linker),
		); err != nil {
			t.Fatal(err)
		}
		checked, written := Check(link), write(link, []byte("new"))
		if (checked != nil) != c.bad || (written != nil) != c.bad {
			t.Errorf("%s: checked: %v, written: %v", name, checked, written)
		}
		if text, _ := os.ReadFile(file); (string(text) == "old") != c.bad {
			t.Errorf("%s: the file holds %q", name, text)
		}
	}
}

func TestParentOfALink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(path string) string { return dir + "/" + path }
	for _, err := range []error{
		os.MkdirAll(in("real/inner"), 0o700), os.Symlink("real/inner", in("link")),
		os.Symlink("../second", in("real/inner/next")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for path, file := range map[string]string{"link/../first": "first", "link/next": "second"} {
		if err := Check(in(path)); err != nil {
			t.Error(err)
		}
		if err := write(in(path), []byte(file)); err != nil {
			t.Error(err)
		}
		if text, err := os.ReadFile(in("real/" + file)); string(text) != file {
			t.Errorf("%s: %q, %v", path, text, err)
		}
	}
	if err := Check(in("none/../report")); err == nil {
		t.Error("there is no directory none, and so no parent of it")
	}
}

func TestWriteToADescriptor(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("/dev/fd/%d", w.Fd())
	if err := Check(path); err != nil {
		t.Error(err)
	}
	if err := write(path, []byte("x")); err != nil {
		t.Error(err)
	}
	w.Close()
	if text, err := io.ReadAll(r); string(text) != "x" {
		t.Errorf("%q, %v", text, err)
	}
	for _, closed := range []string{fmt.Sprintf("/dev/fd/%d", r.Fd()), "/dev/fd/12345"} {
		if err := Check(closed); err == nil || !strings.HasSuffix(err.Error(),
			"is not open for writing") {
			t.Errorf("%s: %v", closed, err)
		}
	}
}

func TestReportIsPlainJSON(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "report")
	zone := time.FixedZone("", 3600)
	r := &Report{
		Kind: amqplock.KindMutex, Name: "a&b", Started: time.Date(2026, 3, 2, 14, 0, 0, 0, zone),
	}
	if err := r.Write(path, exit.Usagef("<x> amqp://u:s3cret@h/"), 64); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"name":"a&b"`, `"error":"<x> amqp://u:***@h/"`,
		`"started":"2026-03-02T13:00:00Z"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}
