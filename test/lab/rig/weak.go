package rig

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// change replaces a piece of a source file that must be there once. The file is below the
// root of the module, or absolute.
type change struct{ file, old, new string }

// Weaknesses are amqprun without one of its precautions: the tests must see the
// difference, or they prove nothing.
var weaknesses = map[string]change{
	"trusts a publish": {
		"amqplock/internal/wire/requests.go",
		"q, err := ch.QueueDeclarePassive(queue, false, false, false, false, nil)\n" +
			"\t\tn = q.Consumers\n\t\treturn err",
		"return ch.Publish(\"\", queue, false, false, amqp.Publishing{})",
	},
	"has no lease": {
		"amqplock/internal/lease/lease.go",
		"return sent + 2*heartbeat - ",
		"return sent + 2000*heartbeat - ",
	},
	"has a guard that knows no lease": {
		"runner/guard.go",
		"\t\treturn w.dueAbandoned(now)\n",
		"\t\treturn w.dueAbandoned(now)\n\tcase true:\n\t\treturn rest, 0\n",
	},
	"publishes on the lock connection": {
		"amqplock/internal/wire/requests.go",
		"return r.doSince(since, func(ch *amqp.Channel) error {\n",
		"return r.doSince(since, func(ch *amqp.Channel) error {\n" +
			"\t\t_ = ch.Publish(\"\", queue+\"-weak\", false, false, amqp.Publishing{})\n",
	},
	// As if the clocks of clients were an hour apart.
	"takes its tokens from its clock": {
		"amqplock/internal/history/token.go",
		"token := max(k.top+1, now)",
		"k.top = 0\n\ttoken := now + now%2*3_600_000",
	},
	"believes its own clock": {
		"amqplock/internal/history/clock.go",
		"return min(max(own.UnixMilli(), earliest), latest)",
		"_, _ = earliest, latest\n\treturn own.UnixMilli()",
	},
	"has a clock that stops with its machine": {
		"internal/sys/clock_linux.go",
		"unix.CLOCK_BOOTTIME, &ts",
		"unix.CLOCK_MONOTONIC, &ts",
	},
	"counts --once by its own clock": {
		"amqplock/internal/locker/once.go",
		"grant.At.Add(-c.cfg.Once)",
		"time.Now().Add(-c.cfg.Once)",
	},
	"does not follow the log": {
		"amqplock/internal/locker/follow.go",
		"	if f.follower != nil {",
		"	if f.follower != nil && f == nil {",
	},
	"asks for no majority": {
		"amqplock/internal/locker/checks.go",
		"if c.lock.Kind == wire.Mutex || !ours {",
		"if false {",
	},
}

// weak is which of them the holders of this process have.
var weak = os.Getenv("AMQPRUN_LAB_WEAK")

// overlay writes a file for go build -overlay, and what it names, to dir. Their names
// begin with name.
func overlay(root, dir, name string, changes ...change) (file string, err error) {
	replace := map[string]string{}
	for i, c := range changes {
		if !filepath.IsAbs(c.file) {
			if c.file, err = filepath.Abs(filepath.Join(root, c.file)); err != nil {
				return "", err
			}
		}
		source, err := os.ReadFile(c.file)
		if err != nil {
			return "", err
		}
		if n := strings.Count(string(source), c.old); n != 1 {
			return "", fmt.Errorf("%s: %q is there %d times, not once: what is replaced has changed",
				c.file, c.old, n)
		}
		replace[c.file] = filepath.Join(dir, fmt.Sprintf("%s-%d.go", name, i))
		changed := strings.Replace(string(source), c.old, c.new, 1)
		if err := os.WriteFile(replace[c.file], []byte(changed), 0o600); err != nil {
			return "", err
		}
	}
	text, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		return "", err
	}
	file = filepath.Join(dir, name+".json")
	return file, os.WriteFile(file, text, 0o600)
}

// weakened are the changes for the weakness of this process.
func weakened() ([]change, error) {
	if weak == "" {
		return nil, nil
	}
	w, ok := weaknesses[weak]
	if !ok {
		return nil, fmt.Errorf("no such weakness: %q", weak)
	}
	return []change{w}, nil
}

// Control runs one of the tests again with holders that have a weakness, and checks that
// it fails because of that. The complaint is what the test must say then. A test that
// skips itself has shown nothing, so the control is skipped too. The caller has the turn
// of its cluster: to wait for that can take longer than the test.
func Control(t *testing.T, weakness, test, complaint string) {
	t.Helper()
	if weak != "" {
		t.Skip("is itself a control")
	}
	var pattern []string
	for part := range strings.SplitSeq(test, "/") {
		pattern = append(pattern, "^"+part+"$")
	}
	again := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.timeout=5m",
		"-test.run="+strings.Join(pattern, "/"))
	again.Env = append(os.Environ(), "AMQPRUN_LAB_WEAK="+weakness, "AMQPRUN_LAB_TURN=",
		"AMQPRUN_LAB_RESULTS=", "AMQPRUN_LAB_GRANTS=", "AMQPRUN_LAB_FAULTS=3")
	out, err := again.CombinedOutput()
	if err == nil && strings.Contains(string(out), "--- SKIP: "+test) {
		t.Skipf("%s has shown nothing", test)
	}
	if err == nil || !strings.Contains(string(out), complaint) {
		t.Errorf("%s did not notice that amqprun %s (%v); it said:\n%s", test, weakness, err, out)
	}
}
