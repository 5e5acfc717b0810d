package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"
)

// patience is how long anything may take before it counts as never.
const patience = 3 * time.Minute

// timed runs a command to its end.
func timed(argv ...string) (time.Duration, error) {
	began := time.Now()
	_, err := output(argv...)
	return time.Since(began), err
}

// output is what a command prints.
func output(argv ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var stdout, stderr bytes.Buffer
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.Stdout, c.Stderr = &stdout, &stderr
	c.WaitDelay = time.Second // something that it has started may have the pipes
	if err := c.Run(); err != nil {
		return nil, fmt.Errorf("%v: %w: %s", argv, err, &stderr)
	}
	return stdout.Bytes(), nil
}

// reap waits for commands that are to end by now, and kills those that do not.
func reap(all ...*exec.Cmd) (failed error) {
	limit := time.AfterFunc(patience, func() {
		for _, c := range all {
			_ = c.Process.Kill()
		}
	})
	defer limit.Stop()
	for _, c := range all {
		failed = errors.Join(failed, c.Wait())
	}
	return failed
}
