//go:build unix && !linux

package runner

import (
	"syscall"
	"time"
)

// Guard does not exist here: it needs to see the processes of others, and their environment. A command outlives an amqprun that was killed.
type Guard struct{}

// StartGuard returns nil, on which all methods work and do nothing.
func StartGuard() *Guard { return nil }

func (g *Guard) KeepSocket(syscall.Conn)  {}
func (g *Guard) Renew(_, _ time.Duration) {}
func (g *Guard) Done() error              { return nil }

// ReapOthers does nothing.
func (g *Guard) ReapOthers() (stop func()) { return func() {} }

func (g *Guard) prepare(*Command) error { return nil }
func (g *Guard) group(int)              {}
func (g *Guard) stopping()              {}
func (g *Guard) dismiss()               {}
func (g *Guard) abandon()               {}

// IsGuard is always false.
func IsGuard() bool { return false }

// RunGuard is never called.
func RunGuard() int { return exitOwnFailure }
