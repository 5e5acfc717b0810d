package wrapper

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// place is a script of bash around amqprun: "$A" is the program and $L the options that
// name a mutex of this test.
type place struct {
	*process
	b    *broker
	lock string
	out  bytes.Buffer
}

func inPlace(t *testing.T, script string) *place {
	t.Helper()
	p := &place{b: dial(t), lock: fmt.Sprintf("place-%d-%s", os.Getpid(), t.Name())}
	p.process = amqprun(t, "")
	p.Env = append(p.Env, "A="+p.Path, "L=--kill-after 500ms --mutex "+p.lock, "SELF="+os.Args[0],
		"LC_ALL=C")
	p.Path, p.Args, p.Stdout = mustLook(t, "bash"), []string{"bash", "--norc", "-c", script}, &p.out
	p.begin()
	return p
}

// endsWith checks the exit status and the output, and that neither a lock nor a process
// is left.
func (p *place) endsWith(code int, out string) {
	p.t.Helper()
	if got := p.end(); got != code {
		p.t.Errorf("exit status %d, want %d", got, code)
	}
	if got := p.out.String(); got != out {
		p.t.Errorf("printed %q, want %q", got, out)
	}
	eventually(p.t, func() bool { return !p.b.exists(p.lock) && p.b.waiters(p.lock) == 0 },
		"the lock to be free")
	eventually(p.t, func() bool { return len(p.marked()) == 0 }, "everything to have ended")
}

// TestPlaces has the places that show in what a script prints and how it ends.
func TestPlaces(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, script string
		needs        string // a program
		code         int
		out          string
	}{
		{"amqprun timeout", `exec "$A" $L -- timeout 0.1 sleep 300`, "timeout", 124, ""},
		{"nohup amqprun", `exec nohup "$A" $L -- sh -c 'kill -HUP $PPID $$; exit 6'`, "nohup", 6, ""},
		{"amqprun nohup", `exec "$A" $L -- nohup sh -c 'kill -HUP $$; exit 6'`, "nohup", 6, ""},
		{"setsid amqprun", `exec setsid -w "$A" $L -- sh -c 'exit 6'`, "setsid", 6, ""},
		{"amqprun setsid", `exec "$A" $L -- setsid -w sh -c 'exit 6'`, "setsid", 6, ""},
		{"xargs", `seq 8 | xargs -P 4 -I{} "$A" $L -- sh -c 'echo in >>log; sleep 0.02; ` +
			`echo out >>log'; echo $?; uniq -c <log | sort -u | xargs; wc -l <log`,
			"xargs", 0, "0\n1 in 1 out\n16\n"},
		// The end of its input would be typed on the terminal as Ctrl-D, perhaps before the
		// word is read.
		{"script", `mkfifo in; exec 9<>in; echo word >&9; script -qec "$A $L -- sh -c 'tty -s; ` +
			`echo tty=\$?; read x; echo got=\$x; exit 5'" /dev/null <in | tr -d '\r' | grep =; ` +
			`echo ${PIPESTATUS[0]}`,
			"script", 0, "tty=0\ngot=word\n5\n"},
		{"niceness and umask and directory and limits",
			`umask 027; ulimit -Sn 512; ulimit -c 0; ulimit -St 1000; mkdir sub; cd sub
			look='nice; umask; pwd; ulimit -Sa; ulimit -Ha'
			nice -n 5 sh -c "$look" >../plain; nice -n 5 "$A" $L -- sh -c "$look" >../locked
			cmp ../plain ../locked; echo $(($(head -n 1 ../locked) - $(nice))); sed -n 2p ../locked`,
			"nice", 0, "5\n0027\n"},
		{"amqprun nice", `echo $(($("$A" $L -- nice -n 7 nice) - $(nice)))`, "nice", 0, "7\n"},
		{"closed stdin", `"$A" $L -- sh -c 'cat; readlink /proc/$$/fd/0; exit 6' <&-`, "", 6,
			"/dev/null\n"},
		{"closed stdout", `"$A" $L -- sh -c 'is=$(readlink /proc/$$/fd/1); echo $is >file; echo lost; ` +
			`exit 6' >&-; echo $?; cat file`, "", 0, "6\n/dev/null\n"},
		{"closed stderr", `"$A" -v $L -- sh -c 'readlink /proc/$$/fd/2; echo lost >&2; exit 6' 2>&-`, "",
			6, "/dev/null\n"},
		// The reader has gone before amqprun says its first word.
		{"broken stderr", `mkfifo pipe; exec 8<>pipe 9>pipe 8<&-; "$A" -v $L -- sh -c 'echo ran; ` +
			`exit 6' 2>&9`, "", 6, "ran\n"},
		{"broken stderr and a failure", `mkfifo pipe; exec 8<>pipe 9>pipe 8<&-; "$A" $L -- /nowhere 2>&9`,
			"", 127, ""},
		{"broken stdout", `mkfifo pipe; exec 8<>pipe 9>pipe 8<&-; "$A" $L -- sh -c 'echo x; ` +
			`exit 6' >&9; exit ${PIPESTATUS[0]}`, "", 128 + int(syscall.SIGPIPE), ""},
		{"unread output", `"$A" $L -- cat /dev/urandom | head -c 10M | wc -c; echo ${PIPESTATUS[0]}`, "",
			0, "10485760\n141\n"},
		{"binary input and output", `head -c 4M /dev/urandom >random; ` +
			`"$A" $L -- cat <random | cmp - random; echo ${PIPESTATUS[@]}`, "", 0, "0 0\n"},
		{"nested", `"$A" $L -- "$A" $L-inner -- "$A" --slots 1 --semaphore "${L##* }-slots" -- \
			sh -c 'echo $AMQPRUN_LOCKS | wc -w; exit 6'
			code=$?; "$A" destroy --semaphore "${L##* }-slots" >&2; exit $code`, "", 6, "3\n"},
		{"the same lock", `"$A" $L -- "$A" $L -- echo ran`, "", 64, ""},
		{"the same lock through a shell", `"$A" $L -- sh -c '"$A" $L -- echo ran; echo $?'`, "", 0,
			"64\n"},
		{"the same lock through make", `printf 'all:\n\t@"$$A" $$L -- echo ran || echo $$?\n' ` +
			`>Makefile; "$A" $L -- make -s`, "make", 0, "64\n"},
		{"the same lock behind another", `"$A" $L -- "$A" $L-inner -- "$A" $L -- echo ran`, "", 64, ""},
		{"sudo amqprun", `sudo -n "$A" --url "$AMQPRUN_URL" $L -- sh -c 'id -u; exit 6'`, "sudo", 6,
			"0\n"},
		{"amqprun sudo", `"$A" $L -- sudo -n sh -c 'id -u; exit 6'`, "sudo", 6, "0\n"},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			if c.needs != "" {
				mustLook(t, c.needs)
			}
			if c.needs == "sudo" && exec.Command("sudo", "-n", "true").Run() != nil {
				t.Skip("sudo wants a password")
			}
			inPlace(t, c.script).endsWith(c.code, c.out)
		})
	}
}

// TestUnderTimeout does not wait for the time: SIGALRM ends the wait of timeout.
func TestUnderTimeout(t *testing.T) {
	t.Parallel()
	mustLook(t, "timeout")
	for _, c := range []struct {
		option, log string
		code        int
	}{
		{"--signal=TERM", "terminated", 124},
		{"--signal=INT", "interrupt", 124}, // the command does not end of it
		{"--signal=KILL", "ready", 137},    // nor is it asked: it dies with amqprun
	} {
		p := inPlace(t, "exec timeout "+c.option+` 300 "$A" $L -- "$SELF" print-signals log`)
		p.await("log", "ready")
		p.send(syscall.SIGALRM)
		p.await("log", c.log)
		if c.log == "interrupt" {
			p.send(syscall.SIGTERM)
		}
		p.endsWith(c.code, "")
	}
}

// TestUnderNohup: the command would catch a SIGHUP, but amqprun leaves it ignored. The
// others pass.
func TestUnderNohup(t *testing.T) {
	t.Parallel()
	mustLook(t, "nohup")
	p := inPlace(t, `exec nohup "$A" $L -- "$SELF" print-signals log`)
	p.await("log", "ready")
	p.send(syscall.SIGHUP)
	p.send(syscall.SIGUSR1)
	p.await("log", syscall.SIGUSR1.String())
	p.send(syscall.SIGTERM)
	p.endsWith(3, "")
	if got := p.read("log"); strings.Contains(got, syscall.SIGHUP.String()) {
		t.Errorf("the command got %q", got)
	}
}
