package report

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/amqprun/amqprun/internal/exit"
	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

// write replaces the file at path in one step, so that nobody reads half a report.
func write(path string, text []byte) error {
	return renameio.WriteFile(path, text, 0o666, renameio.WithTempDir(filepath.Dir(path)))
}

// Check refuses a path where no report can be written.
func Check(path string) error {
	bad := func(format string, args ...any) error {
		return exit.Usagef("--report %q: %s", path, fmt.Sprintf(format, args...))
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return bad("is no file that can be replaced")
	}
	dir := filepath.Dir(path)
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return bad("the directory %s does not exist", dir)
	case err != nil:
		return bad("%v", err)
	case !info.IsDir():
		return bad("%s is no directory", dir)
	case unix.Access(dir, unix.W_OK|unix.X_OK) != nil:
		return bad("the directory %s is not writable", dir)
	}
	return nil
}
