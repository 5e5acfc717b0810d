package docs

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	"sigs.k8s.io/yaml"
)

// TestCron runs each job of a crontab as cron does, once alone, and while another holds
// its lock.
func TestCron(t *testing.T) {
	for _, source := range []struct{ page, heading string }{
		{howTo + "cron.md", "The crontab"}, {"README.md", "Recipes"},
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

// TestKubernetes decodes the manifest as the API server does, refusing what it does not
// know, and runs the container's command.
func TestKubernetes(t *testing.T) {
	manifest := []byte(blocks(t, howTo+"kubernetes.md", "The manifest", "yaml")[0])
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
