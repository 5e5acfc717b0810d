package runner

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestLookup: what can be known without a start is known before the wait for the lock.
func TestLookup(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	program, plain := file("program", 0o755), file("plain", 0o644)
	script := file("script", 0o755)
	if err := os.WriteFile(script, []byte("#! /no/such/interpreter -x\n"), 0); err != nil {
		t.Fatal(err)
	}
	windows := file("windows", 0o755)
	if err := os.WriteFile(windows, []byte("#!/bin/sh\r\n"), 0); err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":/no/such/directory")
	for _, c := range []struct {
		name, path string
		code       int
	}{
		{"program", program, 0},
		{program, program, 0},
		{"plain", "", 126},
		{plain, "", 126},
		{"script", "", 126},
		{script, "", 126},
		{windows, "", 126},
		{dir, "", 126},
		{"fifo", "", 126},
		{fifo, "", 126},
		{"nothing", "", 127},
		{dir + "/nothing", "", 127},
		{plain + "/nothing", "", 127},
		{"", "", 127},
	} {
		path, err := Lookup(c.name)
		var start *StartError
		code := 0
		if errors.As(err, &start) {
			code = start.Code
		}
		if path != c.path || code != c.code {
			t.Errorf("%q: %q, %v, code %d; want %q, code %d", c.name, path, err, code, c.path, c.code)
		}
	}
}

// TestLookupHere: an empty directory in PATH is the current one, also if it is all.
func TestLookupHere(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("program", nil, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, dirs := range []string{"", ":/no/such/directory", "/no/such/directory:"} {
		t.Setenv("PATH", dirs)
		if path, err := Lookup("program"); path != "./program" {
			t.Errorf("PATH=%s: %q, %v", dirs, path, err)
		}
	}
}

// TestInterpreter: what Linux does with a #! line.
func TestInterpreter(t *testing.T) {
	t.Parallel()
	long := "/" + strings.Repeat("x", 300)
	for text, want := range map[string]string{
		"":                                "",
		"#!":                              "",
		"#!/bin/sh":                       "/bin/sh",
		"#!/bin/sh\n":                     "/bin/sh",
		"#! \t/bin/sh -e\n":               "/bin/sh",
		"#!/bin/sh\r\n":                   "/bin/sh\r",
		"# /bin/sh\n":                     "",
		"#!\n/bin/sh\n":                   "",
		"#!/bin/sh " + long:               "/bin/sh",
		"#!" + long + "\n":                "",
		"#!" + long[:252] + "\n":          long[:252],
		"#!" + long[:254] + " -e\n":       "",
		"#!" + long[:253] + " -e -f -g\n": long[:253],
	} {
		path := filepath.Join(t.TempDir(), "script")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := interpreter(path); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
