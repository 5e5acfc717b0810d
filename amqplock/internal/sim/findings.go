package sim

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// Result is what was seen of one schedule.
type Result struct {
	Violations []string       // of promises
	Notes      []string       // what happened
	Seen       map[string]int // what happened how often
}

// Describe is for somebody who looks for the cause of a violation.
func (r Result) Describe(p *Plan) string {
	return fmt.Sprintf("%s%s\nnotes:\n%s", p, strings.Join(r.Violations, "\n"),
		strings.Join(r.Notes, "\n"))
}

// findings collect a Result.
type findings struct {
	clock clock

	mu     sync.Mutex
	result Result
}

func newFindings(c clock) *findings {
	return &findings{clock: c, result: Result{Seen: map[string]int{}}}
}

// violation notes that a promise was broken.
func (f *findings) violation(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.result.Violations = append(f.result.Violations, f.dated(format, args))
}

// note notes what helps to understand a violation.
func (f *findings) note(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.result.Notes = append(f.result.Notes, f.dated(format, args))
}

func (f *findings) dated(format string, args []any) string {
	return fmt.Sprintf("%s: ", time.Since(f.clock.start)) + fmt.Sprintf(format, args...)
}

// saw counts what happened.
func (f *findings) saw(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.result.Seen[what]++
}

func (f *findings) all() Result {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.result
}
