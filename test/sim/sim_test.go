package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A run of many seeds checks too that seeds replay. That of one shows what happens in it.
func TestManySeedsReplay(t *testing.T) {
	t.Parallel()
	for seeds, want := range map[int]bool{0: true, 1: false, 2: true} {
		tests := options{seeds: seeds}.arguments(0)[0]
		if got := strings.Contains(tests, "Replay"); got != want {
			t.Errorf("%d seeds run %s", seeds, tests)
		}
	}
}

// The sources still have the pieces that the patches replace.
func TestPatchesApply(t *testing.T) {
	t.Parallel()
	goroot, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("mutants/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no mutants: %v", err)
	}
	for _, file := range append(files, "runtime.txt") {
		root := filepath.Join("..", "..")
		if file == "runtime.txt" {
			root = filepath.Join(strings.TrimSpace(string(goroot)), "src")
		}
		p, err := readPatch(file)
		if err == nil {
			_, err = p.overlay(root, t.TempDir())
		}
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}
