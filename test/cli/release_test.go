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

// TestDocumentsNameTheVersion finds what a user would copy with an older version in it.
func TestDocumentsNameTheVersion(t *testing.T) {
	t.Parallel()
	version := strings.Fields(program.Run(t, nil, "--version").Stdout)[1]
	named := regexp.MustCompile(`amqprun/amqprun\S*[@:#/]v?(\d+\.\d+\.\d+)`)
	found := 0
	for _, page := range []string{"README.md", "docs/how-to/ci.md", "docs/how-to/kubernetes.md"} {
		text, err := os.ReadFile(filepath.Join("../..", page))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range named.FindAllStringSubmatch(string(text), -1) {
			if found++; m[1] != version {
				t.Errorf("%s has %s, and the version is %s", page, m[0], version)
			}
		}
	}
	if found < 6 {
		t.Errorf("only %d places found", found)
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
