package report

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/amqprun/amqprun/internal/exit"
	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

// write replaces the file at path in one step, so that nobody reads half a report, and
// syncs it. The mode of an existing file stays.
func write(path string, text []byte) error {
	if fd, ok := descriptor(path); ok {
		fd, err := unix.Dup(fd) // closing a File closes its descriptor
		if err != nil {
			return err
		}
		file := os.NewFile(uintptr(fd), path)
		_, err = file.Write(text)
		return errors.Join(err, file.Close())
	}
	path, err := follow(path)
	if err != nil {
		return err
	}
	return renameio.WriteFile(path, text, 0o666, renameio.WithTempDir(parent(path)))
}

// Check refuses a path where no report can be written. It tries what write will do, as
// far as that leaves nothing behind.
func Check(path string) error {
	bad := func(format string, args ...any) error {
		return exit.Usagef("--report %q: %s", path, fmt.Sprintf(format, args...))
	}
	if fd, ok := descriptor(path); ok {
		if !writable(fd) {
			return bad("descriptor %d is not open for writing", fd)
		}
		return nil
	}
	target, err := follow(path)
	if err != nil {
		return bad("%v", err)
	}
	dir := parent(target)
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return bad("the directory %s does not exist", dir)
	case err != nil:
		return bad("%v", err)
	case !info.IsDir():
		return bad("%s is no directory", dir)
	}
	if old, err := os.Stat(target); err == nil && (!old.Mode().IsRegular() || kept(info, old)) {
		return bad("is no file that can be replaced")
	}
	attempt, err := renameio.NewPendingFile(target, renameio.WithTempDir(dir))
	if errors.Is(err, fs.ErrPermission) {
		return bad("the directory %s is not writable", dir)
	}
	if err != nil {
		return bad("%v", err)
	}
	return attempt.Cleanup()
}

// kept reports whether the sticky bit of dir, as that of /tmp, keeps us from replacing
// file.
func kept(dir, file fs.FileInfo) bool {
	us := os.Geteuid()
	return dir.Mode()&fs.ModeSticky != 0 && us != 0 && owner(file) != us && owner(dir) != us
}

func owner(info fs.FileInfo) int {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1
	}
	return int(stat.Uid)
}

// parent is the directory of path as the kernel finds it. filepath.Dir would shorten
// "link/..", which is the parent of what the link leads to.
func parent(path string) string {
	dir, _ := filepath.Split(path)
	if dir == "" {
		return "."
	}
	return cmp.Or(strings.TrimRight(dir, "/"), "/")
}

// follow returns where the links at path lead. The last may lead to a file that is still
// to be made. A link of another user in a directory for all, such as /tmp, is an error:
// it could lead to any file of ours. Linux opens nothing through it, unless its
// fs.protected_symlinks is off.
func follow(path string) (string, error) {
	for range 40 { // the limit of the kernel
		next, err := os.Readlink(path)
		if err != nil {
			break
		}
		if isPlanted(path) {
			return "", fmt.Errorf("%s is a link of another user in a directory for all", path)
		}
		if !filepath.IsAbs(next) {
			next = parent(path) + "/" + next
		}
		path = next
	}
	return path, nil
}

func isPlanted(link string) bool {
	info, err := os.Lstat(link)
	dir, dirErr := os.Stat(parent(link))
	if err != nil || dirErr != nil { // somebody has just taken it away
		return true
	}
	forAll := dir.Mode()&fs.ModeSticky != 0 && dir.Mode().Perm()&0o002 != 0
	return forAll && owner(info) != os.Geteuid() && owner(info) != owner(dir)
}

// descriptor returns the open file that path is another name for.
func descriptor(path string) (fd int, ok bool) {
	switch path {
	case "/dev/stdout":
		return unix.Stdout, true
	case "/dev/stderr":
		return unix.Stderr, true
	}
	dir, number := filepath.Split(path)
	n, err := strconv.ParseUint(number, 10, strconv.IntSize-1)
	return int(n), err == nil && (dir == "/dev/fd/" || dir == "/proc/self/fd/")
}

// writable reports whether fd is open for writing, and not one of the Go runtime, which
// have no type.
func writable(fd int) bool {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	var stat unix.Stat_t
	return err == nil && flags&unix.O_ACCMODE != unix.O_RDONLY &&
		unix.Fstat(fd, &stat) == nil && stat.Mode&unix.S_IFMT != 0
}
