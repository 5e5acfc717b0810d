package runner

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unicode"

	"golang.org/x/sys/unix"
)

// Lookup finds the program name as execvp(3) does. The error is a *StartError: code 127
// if there is no such program, 126 if it cannot be executed. A program that is found may
// still fail to start. os/exec.LookPath would refuse a relative directory in PATH, and
// reports a file without execute permission as none.
func Lookup(name string) (path string, err error) {
	path, err = search(name)
	if err == nil {
		err = checkInterpreter(path)
	}
	if err != nil {
		return "", err
	}
	return path, nil
}

func search(name string) (path string, err error) {
	if name == "" {
		return "", &StartError{`""`, errors.New("the command is empty"), exitNotFound}
	}
	if strings.Contains(name, "/") {
		info, err := os.Stat(name)
		switch {
		case err != nil:
			err = errors.Unwrap(err) // without the path, which StartError has
		case info.IsDir():
			err = syscall.EISDIR
		default:
			err = executable(name, info)
		}
		if err != nil {
			return "", startError(name, err)
		}
		return name, nil
	}
	refused := ""
	dirs, set := os.LookupEnv("PATH")
	if !set {
		dirs = "/bin:/usr/bin"
	}
	for _, dir := range strings.Split(dirs, ":") {
		if dir == "" {
			dir = "."
		}
		path := dir + "/" + name
		info, err := os.Stat(path)
		if err != nil || info.IsDir() {
			continue
		}
		if executable(path, info) == nil {
			return path, nil
		}
		refused = path
	}
	if refused != "" {
		return "", &StartError{refused, syscall.EACCES, exitNotExecutable}
	}
	return "", &StartError{name, errors.New("command not found"), exitNotFound}
}

// executable asks with the effective user, as execve does. A FIFO would block those who
// look for its interpreter.
func executable(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return syscall.EACCES
	}
	return unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS)
}

// startError says what an error of fork or execve means.
func startError(path string, err error) *StartError {
	e := &StartError{Path: path, Err: err, Code: exitNotExecutable}
	info, statErr := os.Stat(path)
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOMEM),
		errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		e.Code = exitOwnFailure
	case errors.Is(statErr, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		e.Code = exitNotFound
	case errors.Is(err, fs.ErrNotExist):
		e.Err = noInterpreter(cmp.Or(interpreter(path), "or dynamic loader"))
	case statErr == nil && info.IsDir():
		e.Err = syscall.EISDIR
	}
	return e
}

func noInterpreter(name string) error {
	if strings.ContainsFunc(name, unicode.IsControl) {
		name = strconv.Quote(name) // a script with the line ends of Windows
	}
	return fmt.Errorf("its interpreter %s does not exist", name)
}

// checkInterpreter reports a script whose interpreter does not exist.
func checkInterpreter(path string) error {
	name := interpreter(path)
	if name == "" {
		return nil
	}
	if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
		return &StartError{path, noInterpreter(name), exitNotExecutable}
	}
	return nil
}

// interpreter names the program that the #! line of path asks for, as Linux reads it. A
// carriage return is a part of the name. It is empty where there is no such line, or it
// cannot be read. Linux does not use a name that goes on after scriptHead.
func interpreter(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	line, err := bufio.NewReaderSize(f, scriptHead).ReadSlice('\n')
	script, found := strings.CutPrefix(string(line), "#!")
	name := strings.TrimLeft(script, " \t")
	end := strings.IndexAny(name, " \t\n\x00")
	switch {
	case !found, end < 0 && errors.Is(err, bufio.ErrBufferFull):
		return ""
	case end >= 0:
		name = name[:end]
	}
	return name
}

// scriptHead is how much of a script Linux reads for its #! line (BINPRM_BUF_SIZE).
const scriptHead = 256
