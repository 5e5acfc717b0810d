package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// holder is a command under a lock that ends when it is let go.
type holder struct {
	*exec.Cmd
	fifo *os.File
}

// hold returns when the command runs. It reads from a FIFO until letGo closes our end:
// etcdctl has no standard input for its command.
func (ps *programs) hold(p peer, lock string) (*holder, error) {
	fifo := filepath.Join(ps.dir, lock+".fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		return nil, err
	}
	defer os.Remove(fifo) // it is open by then, or not needed
	argv := p.argv(lock, "sh", "-c", `exec <"$1" && echo && exec cat`, "sh", fifo)
	h := &holder{Cmd: exec.Command(argv[0], argv[1:]...)}
	h.Stderr = os.Stderr
	stdout, err := h.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if h.fifo, err = os.OpenFile(fifo, os.O_RDWR, 0); err != nil {
		return nil, err
	}
	if err := h.Start(); err != nil {
		return nil, errors.Join(err, h.fifo.Close())
	}
	limit := time.AfterFunc(patience, func() { _ = h.Process.Kill() })
	defer limit.Stop()
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		return nil, errors.Join(fmt.Errorf("the holder has not started: %w", err), h.letGo())
	}
	return h, nil
}

// letGo returns when the lock is free; it may be called again.
func (h *holder) letGo() error {
	if h.ProcessState != nil {
		return nil
	}
	return errors.Join(h.fifo.Close(), reap(h.Cmd))
}
