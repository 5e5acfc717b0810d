//go:build unix && !linux

package hold

import (
	"context"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func openPidfd(int) int                     { return -1 }
func waitPidfd(context.Context, int) bool   { return false }
func signalPidfd(int, syscall.Signal) error { return syscall.ENOSYS }
func bornAt(int) uint64                     { return 0 }
func nameProcess()                          {}
func program() (string, error)              { return os.Executable() }
func duplicate(from, to int) error          { return unix.Dup2(from, to) }

func lives(pid int, _ uint64) bool { return syscall.Kill(pid, 0) != syscall.ESRCH }

// Args would be the program and arguments of a process.
func Args(int) []string { return nil }

// Caller is the process that called us.
func Caller() int { return os.Getppid() }
