package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/amqprun/amqprun/internal/exit"
)

// maxSecret is far more than URLs and passwords need. A longer file is another file.
const maxSecret = 64 << 10

// readSecret reads a file that holds a password. Like ssh with its keys it refuses a file
// of our own that others may read. The owner of another file has decided who may.
func readSecret(what, name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", exit.Usagef("%s: %v", what, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return "", exit.Usagef("%s: %v", what, err)
	}
	if isExposed(name, info) {
		return "", &exit.UsageError{
			Text: fmt.Sprintf("%s %s: others may read or write it (mode %04o)", what, name,
				info.Mode().Perm()),
			Hint: "it holds a password: chmod 600 " + name,
		}
	}
	data, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	switch {
	case err != nil:
		return "", exit.Usagef("%s: %v", what, err)
	case len(data) > maxSecret:
		return "", exit.Usagef("%s %s: is longer than %d bytes", what, name, maxSecret)
	}
	return string(bytes.TrimPrefix(data, []byte("\uFEFF"))), nil
}

// isExposed reports whether it is our own file and others may read or write it. Docker,
// Swarm and systemd protect their secrets by the directory, and everybody who can enter
// it may read.
func isExposed(name string, info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	ours := ok && info.Mode().IsRegular() && int(stat.Uid) == os.Geteuid()
	others := os.FileMode(0o077)
	if isProvided(name) {
		others = 0o022
	}
	return ours && info.Mode().Perm()&others != 0
}

// isProvided reports whether a container engine or systemd provides the file.
func isProvided(name string) bool {
	path, err := filepath.Abs(name)
	if err != nil {
		return false
	}
	for _, dir := range []string{"/run/secrets", "/var/run/secrets",
		os.Getenv("CREDENTIALS_DIRECTORY")} {
		if dir != "" && strings.HasPrefix(path, filepath.Clean(dir)+"/") {
			return true
		}
	}
	return false
}
