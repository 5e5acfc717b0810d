package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/amqprun/amqprun/test/program"
)

// TestVersionOfABuild builds as a release is built: stripped, without paths, with a
// version of its own.
func TestVersionOfABuild(t *testing.T) {
	t.Parallel()
	if git, err := os.Stat("../../.git"); err != nil || !git.IsDir() {
		t.Skip("Go finds commits only in a clone, not in a worktree or an archive")
	}
	head, err := exec.Command("git", "rev-parse", "HEAD").Output()
	if err != nil {
		t.Skip("git does not know the commit:", err)
	}
	path := filepath.Join(t.TempDir(), "amqprun")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=true", "-ldflags",
		"-s -w -X main.version=9.8.7-test", "-o", path, "../..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command(path, "--version").CombinedOutput()
	want := `^amqprun 9\.8\.7-test \(commit ` + strings.TrimSpace(string(head)) +
		`(, modified)?; go1\.[0-9][^)]*\)\n$`
	if err != nil || !regexp.MustCompile(want).Match(out) {
		t.Errorf("--version says %q, %v; want %s", out, err, want)
	}
}

func TestVersionIsThatOfTheChangelog(t *testing.T) {
	t.Parallel()
	changelog, err := os.ReadFile("../../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	newest := regexp.MustCompile(`(?m)^## \[([0-9][^]]*)\]`).FindSubmatch(changelog)
	got := program.Run(t, nil, "--version")
	if newest == nil || !strings.HasPrefix(got.Stdout, "amqprun "+string(newest[1])+" (") {
		t.Errorf("--version prints %q, the newest section of CHANGELOG.md is %q", got.Stdout, newest)
	}
}
