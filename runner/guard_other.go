//go:build unix && !linux

package runner

import (
	"syscall"
	"time"
)

// Guard does not exist here: it would have to see the processes of others and their
// environment. A command outlives an amqprun that was killed.
type Guard struct{}

// NewGuard returns nil. All methods work on it and do nothing.
func NewGuard() *Guard { return nil }

func (g *Guard) KeepSocket(syscall.Conn)  {}
func (g *Guard) Renew(_, _ time.Duration) {}
func (g *Guard) Done() error              { return nil }

func (g *Guard) start(orders, string) error { return nil }
func (g *Guard) stopping(time.Duration)     {}
func (g *Guard) pausing(bool)               {}
func (g *Guard) mayHaveStopped() bool       { return false }
func (g *Guard) dismiss()                   {}
func (g *Guard) abandon()                   {}

// IsGuard returns false.
func IsGuard() bool { return false }

// RunGuard is never called.
func RunGuard() int { return exitOwnFailure }
