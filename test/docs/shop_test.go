package docs

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shop is a machine on which the recipes run: amqprun, programs that recipes call by name
// and that write down their calls, and a broker.
type shop struct {
	t       *testing.T
	bin     string // stands for /usr/local/bin
	home    string
	journal string
	release string // the programs end when this file exists
	url     string
}

// program writes down how it was called, and its signals, and ends when it is released.
const program = `#!/bin/sh
name=$(basename "$0")
trap 'echo "$name TERM" >>"$JOURNAL"; exit 143' TERM
echo "$name${*:+ $*}${DATABASE:+ DATABASE=$DATABASE}" >>"$JOURNAL"
until [ -e "$RELEASE" ]; do sleep 0.02; done
echo "$name ends" >>"$JOURNAL"
`

// open makes a shop with such programs. They wait for release; released ones do not.
func open(t *testing.T, released bool, programs ...string) *shop {
	t.Helper()
	url := os.Getenv("AMQPRUN_URL")
	if url == "" {
		t.Skip("no broker: make test-docs starts one")
	}
	dir := t.TempDir()
	s := &shop{
		t: t, url: url, bin: filepath.Join(dir, "bin"), home: filepath.Join(dir, "home"),
		journal: filepath.Join(dir, "journal"), release: filepath.Join(dir, "release"),
	}
	for _, d := range []string{s.bin, s.home} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	amqprun, err := filepath.Abs(filepath.Join(root, "bin", "amqprun"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(amqprun, filepath.Join(s.bin, "amqprun")); err != nil {
		t.Fatal(err)
	}
	for _, name := range programs {
		s.write(filepath.Join(s.bin, name), program, 0o755)
	}
	if released {
		s.letEnd()
	}
	return s
}

func (s *shop) write(path, text string, mode os.FileMode) {
	s.t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) letEnd() { s.write(s.release, "", 0o600) }

// urlFile holds the URL of the broker.
func (s *shop) urlFile() string {
	path := filepath.Join(s.home, "amqprun.url")
	s.write(path, s.url+"\n", 0o600)
	return path
}

// here puts this machine's places for those that a recipe names.
func (s *shop) here(text string) string {
	return strings.NewReplacer(
		"/usr/local/bin/", s.bin+"/",
		"amqp://USER:PASSWORD@rabbit.example/", s.url,
		"/etc/amqprun.url", s.urlFile(),
	).Replace(text)
}

// run is a command that has ended, or will.
type run struct {
	*exec.Cmd
	t        *testing.T
	out, err bytes.Buffer
}

// start runs a command with little more than cron's environment, in the shop's home, for
// a minute at most.
func (s *shop) start(env []string, command ...string) *run {
	s.t.Helper()
	if command[0] == "amqprun" {
		command[0] = filepath.Join(s.bin, command[0])
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	r := &run{t: s.t, Cmd: exec.CommandContext(ctx, command[0], command[1:]...)}
	r.Dir = s.home
	r.Env = append([]string{
		"PATH=" + s.bin + ":/usr/bin:/bin",
		"HOME=" + s.home,
		"LOGNAME=recipe",
		"SHELL=/bin/sh",
		"LANG=C.UTF-8",
		"JOURNAL=" + s.journal,
		"RELEASE=" + s.release,
	}, env...)
	r.Stdout, r.Stderr = &r.out, &r.err
	r.WaitDelay = 5 * time.Second
	r.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// of a shell around amqprun too
	r.Cancel = func() error { return syscall.Kill(-r.Process.Pid, syscall.SIGTERM) }
	if err := r.Start(); err != nil {
		cancel()
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { // before the next test wants its lock
		cancel()
		_ = r.Wait()
	})
	return r
}

// broker is the environment in which a recipe finds the broker.
func (s *shop) broker() []string { return []string{"AMQPRUN_URL=" + s.url} }

// ends waits for the end and wants a status.
func (r *run) ends(want int) *run {
	r.t.Helper()
	err := r.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.t.Fatalf("%q: %v", r.Args, err)
	}
	if got := r.ProcessState.ExitCode(); got != want {
		r.t.Fatalf("%q: status %d, want %d; it said:\n%s%s", r.Args, got, want, &r.out, &r.err)
	}
	return r
}

// silent wants no output.
func (r *run) silent() {
	r.t.Helper()
	if r.out.Len()+r.err.Len() > 0 {
		r.t.Errorf("%q is not silent:\n%s%s", r.Args, &r.out, &r.err)
	}
}

// destroys removes a semaphore at the end of the test.
func (s *shop) destroys(semaphore string) {
	s.t.Cleanup(
		func() { s.start(s.broker(), "amqprun", "destroy", "--semaphore", semaphore).ends(0) })
}

// journalHas waits until the programs have written down these lines and nothing else.
func (s *shop) journalHas(lines ...string) {
	s.t.Helper()
	want, got := strings.Join(lines, "\n")+"\n", ""
	s.poll(func() bool {
		text, _ := os.ReadFile(s.journal)
		got = string(text)
		return got == want
	}, func() string { return got + "\nwant\n" + want })
}

// journalLines waits for so many lines.
func (s *shop) journalLines(count int) []string {
	s.t.Helper()
	var lines []string
	s.poll(func() bool {
		text, _ := os.ReadFile(s.journal)
		lines = strings.Split(strings.TrimSpace(string(text)), "\n")
		return len(lines) == count
	}, func() string { return strings.Join(lines, "\n") })
	return lines
}

// poll waits for what the journal comes to say.
func (s *shop) poll(ok func() bool, got func() string) {
	s.t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("the journal has\n%s", got())
		}
	}
}

func lookPath(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not installed", program)
	}
	return path
}
