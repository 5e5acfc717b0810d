package docs

import (
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rhysd/actionlint"
	"sigs.k8s.io/yaml"
)

// shellSteps runs commands of a CI system by bash -e, with a Makefile that has the goals
// they make.
func shellSteps(t *testing.T, commands []string, journal ...string) {
	t.Helper()
	s := open(t, true, "make")
	const install = "go install github.com/amqprun/amqprun@latest"
	installed := false
	for _, command := range commands {
		if strings.TrimSpace(command) == install {
			installed = true // `make package` does it
			continue
		}
		s.start(s.broker(), "bash", "-e", "-c", command).ends(0).silent()
	}
	if !installed {
		t.Error("where does amqprun come from?")
	}
	s.journalHas(journal...)
}

func TestGitHubActions(t *testing.T) {
	workflow := []byte(blocks(t, howTo+"ci.md", "GitHub Actions", "yaml")[0])
	linter, err := actionlint.NewLinter(io.Discard, &actionlint.LinterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	complaints, err := linter.Lint("deploy.yml", workflow, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, complaint := range complaints {
		t.Error(complaint)
	}
	var steps struct {
		Jobs map[string]struct{ Steps []struct{ Run string } }
	}
	if err := yaml.Unmarshal(workflow, &steps); err != nil {
		t.Fatal(err)
	}
	var commands []string
	for _, step := range steps.Jobs["deploy"].Steps {
		if step.Run != "" {
			commands = append(commands, step.Run)
		}
	}
	if len(commands) != 3 {
		t.Fatalf("%d commands, want 3", len(commands))
	}
	// Which of four free slots it gets is chance.
	for i := range commands {
		commands[i] = strings.Replace(commands[i], "--create 4", "--create 1", 1)
	}
	shellSteps(t, commands, "make test DATABASE=test_1", "make ends", "make deploy", "make ends")
}

// TestGitLab decodes strictly what GitLab's keywords are here, and runs the scripts.
func TestGitLab(t *testing.T) {
	var pipeline struct {
		Deploy struct {
			Image        string   `json:"image"`
			BeforeScript []string `json:"before_script"`
			Script       []string `json:"script"`
			Timeout      string   `json:"timeout"`
			AllowFailure struct {
				ExitCodes int `json:"exit_codes"`
			} `json:"allow_failure"`
		} `json:"deploy"`
	}
	text := []byte(blocks(t, howTo+"ci.md", "GitLab CI", "yaml")[0])
	if err := yaml.UnmarshalStrict(text, &pipeline); err != nil {
		t.Fatal(err)
	}
	if pipeline.Deploy.AllowFailure.ExitCodes != 75 {
		t.Error("75 is not the status of a lock that was not acquired")
	}
	shellSteps(t, slices.Concat(pipeline.Deploy.BeforeScript, pipeline.Deploy.Script),
		"make deploy", "make ends")
}

// TestJenkins runs the shell steps; nothing here can judge the Groovy around them.
func TestJenkins(t *testing.T) {
	steps := regexp.MustCompile(`(?m)^\s*sh '([^'\n]+)'$`).
		FindAllStringSubmatch(blocks(t, howTo+"ci.md", "Jenkins", "groovy")[0], -1)
	if len(steps) != 1 {
		t.Fatalf("%d shell steps, want 1", len(steps))
	}
	s := open(t, true, "make")
	s.start(s.broker(), "sh", "-xe", "-c", steps[0][1]).ends(0)
	s.journalHas("make deploy", "make ends")
}

func TestBats(t *testing.T) {
	bats := lookPath(t, "bats")
	s := open(t, true)
	file := blocks(t, howTo+"bats.md", "From inside the file", "bats")[0]
	s.write(filepath.Join(s.home, "database.bats"), file, 0o600)
	r := s.start(s.broker(), bats, "--tap", "database.bats").ends(0)
	if want := "1..1\nok 1 the database is ours\n"; r.out.String() != want {
		t.Errorf("bats says %q, want %q", &r.out, want)
	}
	s.start(s.broker(), "amqprun", "--mutex", "test-database", "-w", "10", "--", "true").
		ends(0).silent()
}
