package sim

import (
	"fmt"
	"strings"
	"time"
)

// Result is what the oracle has seen of one schedule.
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

// violate notes that a promise was broken. The caller has the mutex.
func (o *oracle) violate(format string, args ...any) {
	o.result.Violations = append(o.result.Violations, fmt.Sprintf("%s: ", time.Since(o.clock.start))+
		fmt.Sprintf(format, args...))
}

// note notes what helps to understand a violation.
func (o *oracle) note(format string, args ...any) {
	o.result.Notes = append(o.result.Notes, fmt.Sprintf("%s: ", time.Since(o.clock.start))+
		fmt.Sprintf(format, args...))
}

func (o *oracle) violation(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.violate(format, args...)
}
