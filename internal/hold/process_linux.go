package hold

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// openPidfd returns -1 before Linux 5.3, and in sandboxes that refuse pidfds.
func openPidfd(pid int) int {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return -1
	}
	return fd
}

// waitPidfd returns true when the process has ended, and false when ctx has.
func waitPidfd(ctx context.Context, fd int) bool {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil || unix.SetNonblock(dup, true) != nil {
		return false
	}
	file := os.NewFile(uintptr(dup), "pidfd")
	defer file.Close()
	stop := context.AfterFunc(ctx, func() { _ = file.Close() })
	defer stop()
	raw, err := file.SyscallConn()
	if err != nil {
		return false
	}
	ended := false
	_ = raw.Read(func(fd uintptr) bool {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 0)
		ended = err == nil && n > 0
		return ended
	})
	return ended
}

func signalPidfd(fd int, s syscall.Signal) error { return unix.PidfdSendSignal(fd, s, nil, 0) }

// bornAt is when the process was started, in ticks since boot, and 0 if it has ended.
func bornAt(pid int) uint64 {
	stat := statOf(pid)
	if len(stat) < 20 || stat[0] == "Z" || stat[0] == "X" {
		return 0
	}
	born, _ := strconv.ParseUint(stat[19], 10, 64)
	return born
}

// lives reports whether the process that was born then has not ended.
func lives(pid int, born uint64) bool { return born != 0 && bornAt(pid) == born }

// statOf are the fields of /proc/PID/stat from the third on, which is the state. The name
// before them can hold anything.
func statOf(pid int) []string {
	stat, err := os.ReadFile(proc(pid, "stat"))
	if err != nil {
		return nil
	}
	return strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
}

func proc(pid int, file string) string { return "/proc/" + strconv.Itoa(pid) + "/" + file }

// Args are the program and arguments of a process, as far as they can be read.
func Args(pid int) []string {
	text, err := os.ReadFile(proc(pid, "cmdline"))
	if err != nil || len(text) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
}

// Caller is the process that called us: the nearest ancestor with another standard
// output. A shell forks itself for $(...). That copy ends with us, and has our pipe for
// its output; the shell that reads the pipe has another one.
//
// In $(amqprun hold | tee log) our pipe leads to tee, and that of the copy to the shell.
// The copy ends with us nevertheless.
//
// Caller returns 0 where the output of an ancestor is not ours to see. That may be sudo,
// which ends with us too.
func Caller() int {
	pid := os.Getppid()
	ours := output(os.Getpid())
	if !strings.HasPrefix(ours, "pipe:") {
		return pid
	}
	for output(pid) == ours && parentOf(pid) > 0 {
		pid = parentOf(pid)
	}
	if _, err := os.Readlink(proc(pid, "fd/1")); errors.Is(err, os.ErrPermission) {
		return 0
	}
	shell := parentOf(pid)
	if !reads(shell, output(pid)) || !slices.Equal(Args(pid), Args(shell)) {
		return pid
	}
	if readsItself(pid, ours) {
		return pid
	}
	return shell
}

// The bounds of readsItself, in looks that are a millisecond apart.
const (
	looksAsleep = 200
	looksAtMost = 5000
)

// readsItself reports whether a shell reads a pipe. One that has yet to start a filter
// has the end of the pipe for that. It does not sleep: it runs, or waits for a processor.
func readsItself(pid int, pipe string) bool {
	asleep := 0 // in so many looks, one after the other
	for range looksAtMost {
		if !reads(pid, pipe) {
			return false
		}
		if asleep++; !sleeps(pid) {
			asleep = 0
		}
		if asleep == looksAsleep {
			break
		}
		<-time.After(time.Millisecond)
	}
	return true
}

func sleeps(pid int) bool {
	stat := statOf(pid)
	return len(stat) > 0 && stat[0] == "S"
}

func output(pid int) string {
	file, _ := os.Readlink(proc(pid, "fd/1"))
	return file
}

// parentOf returns 0 where there is none to see.
func parentOf(pid int) int {
	stat := statOf(pid)
	if len(stat) < 2 {
		return 0
	}
	parent, _ := strconv.Atoi(stat[1])
	return parent
}

// reads reports whether a process has a pipe open for reading.
func reads(pid int, pipe string) bool {
	fds, _ := os.ReadDir(proc(pid, "fd"))
	return slices.ContainsFunc(fds, func(fd os.DirEntry) bool {
		file, _ := os.Readlink(proc(pid, "fd/"+fd.Name()))
		info, err := fd.Info()
		return file == pipe && err == nil && info.Mode()&0o400 != 0
	})
}

// nameProcess shows our name instead of that of the file that was executed.
func nameProcess() { _ = os.WriteFile("/proc/self/comm", []byte("amqprun"), 0) }

func program() (string, error) { return "/proc/self/exe", nil }

func duplicate(from, to int) error { return unix.Dup3(from, to, 0) }
