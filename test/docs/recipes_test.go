package docs

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rhysd/actionlint"
	batchv1 "k8s.io/api/batch/v1"
	"sigs.k8s.io/yaml"
)

const (
	howTo = "docs/how-to/"
	page  = howTo + "recipes.md"
)

func lookPath(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not installed", program)
	}
	return path
}

// TestCron runs each job of a crontab as cron does, once alone, and while another holds
// its lock.
func TestCron(t *testing.T) {
	for _, source := range []struct{ page, heading string }{
		{howTo + "cron.md", "Cron"}, {"README.md", "Recipes"},
		{"docs/how-to/connecting.md", "Passwords"}} {
		for _, crontab := range blocks(t, source.page, source.heading, "crontab") {
			t.Run(source.page, func(t *testing.T) { testCrontab(t, crontab) })
		}
	}
}

func testCrontab(t *testing.T, crontab string) {
	job := regexp.MustCompile(`^(?:[\d*/,-]+\s+){5}(.*)$`)
	jobs := 0
	var env []string
	for line := range strings.Lines(crontab) {
		line = strings.TrimRight(line, "\n")
		switch m := job.FindStringSubmatch(line); {
		case m != nil:
			jobs++
			t.Run(m[1], func(t *testing.T) { testJob(t, env, m[1]) })
		case strings.Contains(line, "=") && !strings.HasPrefix(line, "#"):
			env = append(env, line)
		case line != "" && !strings.HasPrefix(line, "#"):
			t.Errorf("neither job nor setting: %q", line)
		}
	}
	if jobs == 0 {
		t.Error("no job")
	}
	check := exec.Command(lookPath(t, "crontab"), "-n", "-")
	check.Stdin = strings.NewReader(crontab)
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("crontab refuses it: %v\n%s", err, out)
	}
}

func testJob(t *testing.T, env []string, command string) {
	s := open(t, false, "report", "backup")
	work := filepath.Base(command)
	for i := range env {
		env[i] = s.here(env[i])
	}
	shell := []string{"/bin/sh", "-c", s.here(command)}
	first := s.start(env, shell...)
	s.journalHas(work)
	second := s.start(env, shell...)
	switch {
	case strings.Contains(command, " --once "): // it waits
	case strings.Contains(command, "-q -E 0"):
		second.ends(0).silent()
	case strings.Contains(command, " -n "):
		if second.ends(75); !strings.Contains(second.err.String(), "was not acquired") {
			t.Errorf("cron would mail %q", &second.err)
		}
	}
	s.letEnd()
	first.ends(0).silent()
	if strings.Contains(command, " --once ") {
		second.ends(0).silent()
		lock := regexp.MustCompile(`--mutex \S+`).FindString(command)
		destroy := append([]string{"amqprun", "destroy"}, strings.Fields(lock)...)
		defer func() { s.start(env, destroy...).ends(0) }()
	}
	if strings.Contains(command, " -w ") {
		second.ends(0).silent()
		s.journalHas(work, work+" ends", work, work+" ends")
		return
	}
	s.journalHas(work, work+" ends")
}

// TestSystemd judges the units, and does to the process of the service what systemd does.
func TestSystemd(t *testing.T) {
	s := open(t, false, "report", "billing")
	settings := filepath.Join(s.home, "amqprun.env")
	s.write(settings, "AMQPRUN_URL="+s.url+"\n", 0o600)
	var service string
	var paths []string
	const page = howTo + "systemd.md"
	standby := blocks(t, page, "A cold standby", "ini")
	for _, unit := range append(standby, blocks(t, page, "A timer on several machines", "ini")...) {
		name := strings.TrimPrefix(unit[:strings.Index(unit, "\n")], "# /etc/systemd/system/")
		unit = strings.ReplaceAll(s.here(unit), "/etc/amqprun.env", settings)
		if strings.HasSuffix(name, ".service") {
			service = unit
		}
		path := filepath.Join(s.home, name)
		s.write(path, unit, 0o644)
		paths = append(paths, path)
	}
	setting := func(key string) string {
		_, value, found := strings.Cut(service, "\n"+key+"=")
		if !found {
			t.Fatalf("the service has no %s", key)
		}
		value, _, _ = strings.Cut(value, "\n")
		return value
	}
	success := strings.Fields(setting("SuccessExitStatus"))
	first := s.start(s.broker(), strings.Fields(setting("ExecStart"))...)
	s.journalHas("report")
	second := s.start(s.broker(), strings.Fields(setting("ExecStart"))...)
	if second.ends(75).silent(); !slices.Contains(success, "75") {
		t.Error("a report that runs elsewhere is a failure")
	}
	if setting("KillMode") != "mixed" {
		t.Error("not what is tested here")
	}
	if err := first.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.journalHas("report", "report TERM")
	if first.ends(143); !slices.Contains(success, strconv.Itoa(first.ProcessState.ExitCode())) {
		t.Error("systemctl stop is a failure")
	}
	verify := exec.Command(
		lookPath(t, "systemd-analyze"),
		append([]string{"verify", "--man=no"}, paths...)...)
	if out, err := verify.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

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

func TestMake(t *testing.T) {
	s := open(t, true, "work")
	rules := blocks(t, page, "Make", "make")[0] +
		"deploy-locked: two\ntwo: one\none two:\n\t@work $@ $(findstring jobserver,$(MAKEFLAGS))\n"
	s.write(filepath.Join(s.home, "Makefile"), rules, 0o600)
	r := s.start(s.broker(), "make", "--no-print-directory", "-j2", "deploy").ends(0)
	s.journalHas("work one jobserver", "work ends", "work two jobserver", "work ends")
	if strings.Contains(r.err.String(), "warning") {
		t.Errorf("the job slots are not shared: %s", &r.err)
	}

	all := open(t, true, "make")
	all.start(all.broker(), "sh", "-e", "-c", blocks(t, page, "Make", "sh")[0]).ends(0).silent()
	all.journalHas("make -j16", "make ends")
}

// TestOlderHolderIsRefused: one that has got its token earlier, and writes later.
func TestOlderHolderIsRefused(t *testing.T) {
	lookPath(t, "sqlite3")
	s := open(t, false)
	scripts := blocks(t, page, "A resource that refuses an older holder", "sh")
	s.write(filepath.Join(s.home, "write.sh"), scripts[1], 0o600)
	s.write(filepath.Join(s.bin, "put"), "#!/bin/sh\n"+scripts[2], 0o755)
	s.start(nil, "sh", "-e", "-c", scripts[0]).ends(0).silent()
	usage, _, _ := strings.Cut(strings.TrimPrefix(scripts[1], "# "), " VALUE\n")
	older := s.start(s.broker(), "amqprun", "--mutex", "shop", "--fence", "--",
		"sh", "-c", "echo $AMQPRUN_TOKEN")
	older.ends(0)
	late := "AMQPRUN_TOKEN=" + strings.TrimSpace(older.out.String())
	// The same holder may write again, and the next one.
	newer := usage + " new && " + usage + " newer && amqprun --mutex shop --fence -c '" +
		`echo one | put file "$AMQPRUN_TOKEN" && echo two | put file "$AMQPRUN_TOKEN"'`
	s.start(s.broker(), "sh", "-c", newer).ends(0).silent()
	s.start([]string{late}, "sh", "write.sh", "old").ends(1)
	s.start([]string{late}, "sh", "-c", `echo old | put file "$AMQPRUN_TOKEN"`).ends(1)
	look := s.start(nil, "sh", "-c", "sqlite3 shop.db 'SELECT value FROM stock'; cat file").ends(0)
	if got := look.out.String(); got != "newer\ntwo\n" {
		t.Errorf("they hold %q", got)
	}
	s.start(s.broker(), "amqprun", "destroy", "--mutex", "shop").ends(0)
}

func TestResourceForEachSlot(t *testing.T) {
	s := open(t, false, "bats")
	command := blocks(t, page, "A resource for each slot", "sh")[0]
	got := map[string]bool{}
	var runs []*run
	for range 3 {
		command = strings.ReplaceAll(command, "databases", "three")
		runs = append(runs, s.start(s.broker(), "sh", "-e", "-c", command))
	}
	lines := s.journalLines(3)
	for _, line := range lines {
		got[line] = true
	}
	for _, want := range []string{"1", "2", "3"} {
		if !got["bats test DATABASE=test_"+want] {
			t.Errorf("nobody got database %s: %q", want, lines)
		}
	}
	s.letEnd()
	for _, r := range runs {
		r.ends(0).silent()
	}
}

func TestReadersAndWriters(t *testing.T) {
	s := open(t, false, "search", "reindex")
	commands := blocks(t, page, "Readers and writers", "sh")
	reader := func() *run { return s.start(s.broker(), "sh", "-c", commands[0]) }
	writer := func() *run { return s.start(s.broker(), "sh", "-c", commands[1]) }
	runs := []*run{reader(), reader()}
	s.destroys("index")
	s.journalHas("search", "search")
	runs = append(runs, writer())
	status := ""
	s.poll(func() bool {
		r := s.start(s.broker(), "amqprun", "status", "--semaphore", "index").ends(0)
		status, _, _ = strings.Cut(r.out.String(), "\n")
		return strings.HasSuffix(status, ", 1 waiting")
	}, func() string { return status })
	s.letEnd()
	for _, r := range runs {
		r.ends(0).silent()
	}
	s.journalHas("search", "search", "search ends", "search ends", "reindex", "reindex ends")

	if err := os.Remove(s.release); err != nil {
		t.Fatal(err)
	}
	alone := writer()
	s.journalLines(7)
	s.start(s.broker(), "sh", "-c", strings.Replace(commands[0], " -- ", " -n -- ", 1)).ends(75)
	s.letEnd()
	alone.ends(0).silent()
}

func TestPool(t *testing.T) {
	s := open(t, true)
	script := blocks(t, page, "A pool that grows and shrinks", "bash")[0]
	command, _, _ := strings.Cut(strings.TrimPrefix(script, "# "), "\n")
	s.write(filepath.Join(s.home, "pool.sh"), script, 0o600)
	change := func(delta string) {
		s.start(s.broker(), "amqprun", "change", "--semaphore", "workers", delta).ends(0)
	}
	s.destroys("workers")
	change("1")
	output := filepath.Join(s.home, "output")
	r := s.start(s.broker(), "sh", "-c", "exec "+command+" >"+output)
	s.journal = output
	s.journalHas("first: 1")
	change("1")
	s.journalHas("first: 1", "now: 1 2")
	change("-1")
	s.journalHas("first: 1", "now: 1 2", "now: 1")
	if err := r.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	r.ends(143)
}

func TestBats(t *testing.T) {
	bats := lookPath(t, "bats")
	s := open(t, true)
	file := blocks(t, howTo+"bats.md", "Bats", "bats")[0]
	s.write(filepath.Join(s.home, "database.bats"), file, 0o600)
	r := s.start(s.broker(), bats, "--tap", "database.bats").ends(0)
	if want := "1..1\nok 1 the database is ours\n"; r.out.String() != want {
		t.Errorf("bats says %q, want %q", &r.out, want)
	}
	s.start(s.broker(), "amqprun", "--mutex", "test-database", "-w", "10", "--", "true").
		ends(0).silent()
}

// TestKubernetes decodes the manifest as the API server does, refusing what it does not
// know, and runs the container's command.
func TestKubernetes(t *testing.T) {
	manifest := []byte(blocks(t, howTo+"kubernetes.md", "Kubernetes", "yaml")[0])
	var job batchv1.CronJob
	if err := yaml.UnmarshalStrict(manifest, &job); err != nil {
		t.Fatal(err)
	}
	if job.APIVersion != "batch/v1" || job.Kind != "CronJob" {
		t.Errorf("a %s of %s", job.Kind, job.APIVersion)
	}
	unknown := bytes.Replace(manifest, []byte("concurrencyPolicy"), []byte("concurencyPolicy"), 1)
	if err := yaml.UnmarshalStrict(unknown, &job); err == nil {
		t.Error("a wrong field is not noticed")
	}
	s := open(t, false, "report")
	container := job.Spec.JobTemplate.Spec.Template.Spec.Containers[0]
	if container.Env[0].Name != "AMQPRUN_URL" {
		t.Errorf("the broker is in %s", container.Env[0].Name)
	}
	command := slices.Concat(container.Command, container.Args)
	first := s.start(s.broker(), command...)
	s.journalHas("report")
	s.start(s.broker(), command...).ends(0).silent()
	s.letEnd()
	first.ends(0).silent()
	s.journalHas("report", "report ends")
}
