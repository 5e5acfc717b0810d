package runner

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// lookup finds name as execvp(3) does. os/exec.LookPath would refuse a relative directory in PATH, and does not tell a file
// without execute permission (126) from none (127).
func lookup(name string) (path string, err error) {
	if name == "" {
		return "", &StartError{Path: `""`, Err: errors.New("the command is empty"), Code: exitNotFound}
	}
	if strings.Contains(name, "/") {
		return name, nil // execve knows best
	}
	refused := ""
	search, set := os.LookupEnv("PATH")
	if !set {
		search = "/bin:/usr/bin"
	}
	for _, dir := range filepath.SplitList(search) {
		if dir == "" {
			dir = "."
		}
		path := dir + "/" + name
		info, err := os.Stat(path)
		if err != nil || info.IsDir() {
			continue
		}
		if unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS) == nil {
			return path, nil
		}
		refused = path
	}
	if refused != "" {
		return "", &StartError{Path: refused, Err: syscall.EACCES, Code: exitNotExecutable}
	}
	return "", &StartError{Path: name, Err: errors.New("command not found"), Code: exitNotFound}
}

// startError says what an error of fork or execve means.
func startError(path string, err error) *StartError {
	e := &StartError{Path: path, Err: err, Code: exitNotExecutable}
	info, statErr := os.Stat(path)
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOMEM), errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		e.Code = exitOwnFailure
	case errors.Is(statErr, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		e.Code = exitNotFound
	case errors.Is(err, fs.ErrNotExist):
		e.Err = fmt.Errorf("its interpreter %s does not exist", interpreter(path))
	case errors.Is(err, syscall.ENOEXEC):
		e.Err = fmt.Errorf("%w (a script needs a #! line)", err)
	case statErr == nil && info.IsDir():
		e.Err = syscall.EISDIR
	}
	return e
}

// interpreter names what the #! line of path asks for.
func interpreter(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return "(unknown)"
	}
	defer f.Close()
	line, _ := bufio.NewReaderSize(f, 256).ReadSlice('\n')
	script, found := bytes.CutPrefix(line, []byte("#!"))
	if fields := bytes.Fields(script); found && len(fields) > 0 {
		return string(fields[0])
	}
	return "or dynamic loader"
}
