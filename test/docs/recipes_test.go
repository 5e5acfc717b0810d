package docs

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const page = howTo + "recipes.md"

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
	s.write(filepath.Join(s.bin, "put"), "#!/bin/sh\n"+scripts[3], 0o755)
	s.write(filepath.Join(s.bin, "ssh"), "#!/bin/sh\nshift\nexec \"$@\"\n", 0o755)
	s.start(nil, "sh", "-e", "-c", scripts[0]).ends(0).silent()
	usage, _, _ := strings.Cut(strings.TrimPrefix(scripts[1], "# "), " VALUE\n")
	older := s.start(s.broker(), "amqprun", "--mutex", "shop", "--fence", "--",
		"sh", "-c", "echo $AMQPRUN_TOKEN")
	older.ends(0)
	late := "AMQPRUN_TOKEN=" + strings.TrimSpace(older.out.String())
	// The same holder may write again, and the next one.
	put := strings.TrimSpace(strings.ReplaceAll(scripts[2], "FILE", "file"))
	newer := usage + " new && " + usage + " newer && amqprun --mutex shop --fence -c '" +
		"echo one >new && " + put + " && echo two >new && " + put + "'"
	s.start(s.broker(), "sh", "-c", newer).ends(0).silent()
	s.start([]string{late}, "sh", "write.sh", "old").ends(1)
	s.start([]string{late}, "sh", "-c", put).ends(1)
	// One that is cut off has not said all, and one that is silent keeps nobody away.
	s.start(nil, "sh", "-c", "echo half | put file 9000000000000000000 6").ends(1)
	s.start(nil, "sh", "-c", "mkfifo slow && { put file 1 4 <slow & } && exec 8>slow && "+
		"echo last | put file 9000000000000000000 5 && exec 8>&- && wait").ends(0)
	look := s.start(nil, "sh", "-c",
		"sqlite3 shop.db 'SELECT value FROM stock'; cat file; ls file*").ends(0)
	if got := look.out.String(); got != "newer\nlast\nfile\nfile.lock\nfile.token\n" {
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
