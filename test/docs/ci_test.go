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
	for _, command := range commands {
		if strings.TrimSpace(command) == install {
			continue // `make package` does it
		}
		s.start(s.broker(), "bash", "-e", "-c", command).ends(0).silent()
	}
	s.journalHas(journal...)
}

// githubSteps are the commands of the job deploy of a workflow that actionlint accepts.
func githubSteps(t *testing.T, workflow []byte) (commands []string) {
	t.Helper()
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
	for _, step := range steps.Jobs["deploy"].Steps {
		if step.Run != "" {
			commands = append(commands, step.Run)
		}
	}
	return commands
}

func TestGitHubActions(t *testing.T) {
	workflow := blocks(t, howTo+"ci.md", "GitHub Actions", "yaml")[0]
	commands := githubSteps(t, []byte(workflow))
	if len(commands) != 2 {
		t.Fatalf("%d commands, want 2", len(commands))
	}
	// `make test-packaging` runs the action.
	if !strings.Contains(workflow, "uses: amqprun/amqprun/.github/actions/setup@") {
		t.Error("where does amqprun come from?")
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

// TestSeveralSteps runs each step in a shell of its own, as GitHub's runner does.
func TestSeveralSteps(t *testing.T) {
	s := open(t, true, "make")
	job := "on: push\njobs:\n  deploy:\n    runs-on: ubuntu-latest\n" +
		blocks(t, howTo+"ci.md", "A job of several steps", "yaml")[0]
	steps := githubSteps(t, []byte(job))
	if len(steps) != 3 {
		t.Fatalf("%d commands, want 3", len(steps))
	}
	file := filepath.Join(s.home, "env")
	free := func(status int) {
		s.start(s.broker(), "amqprun", "check", "--mutex", "deploy").ends(status)
	}
	env := append(s.broker(), "GITHUB_ENV="+file)
	for i, step := range steps {
		s.start(env, "bash", "-e", "-c", step).ends(0).silent()
		if i == 0 {
			free(75)
			env = append(env, strings.TrimSpace(read(t, file)))
		}
	}
	free(0)
	s.journalHas("make deploy", "make ends")
}

// TestBats runs the file with the helper, and the one without.
func TestBats(t *testing.T) {
	bats := lookPath(t, "bats")
	files := blocks(t, howTo+"bats.md", "From inside the file", "bats")
	_, test, _ := strings.Cut(files[1], "\n@test ")
	files[0] += "@test " + test
	for _, file := range files {
		s := open(t, true)
		lib := filepath.Join(s.home, "amqprun")
		s.write(filepath.Join(s.home, "database.bats"), file, 0o600)
		s.start(nil, "mkdir", lib).ends(0)
		s.write(filepath.Join(lib, "load.bash"), read(t, "share/bats/amqprun.bash"), 0o600)
		env := append(s.broker(), "BATS_LIB_PATH="+s.home)
		r := s.start(env, bats, "--tap", "database.bats").ends(0)
		if want := "1..1\nok 1 the database is ours\n"; r.out.String() != want {
			t.Errorf("bats says %q, want %q", &r.out, want)
		}
		s.start(s.broker(), "amqprun", "--mutex", "test-database", "-w", "10", "--", "true").
			ends(0).silent()
	}
}
