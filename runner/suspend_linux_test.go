package runner

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"syscall"
	"testing"
)

// TestSignalToOthersPassesUsBy: with the signal blocked in all threads, where the kernel
// keeps it although it is ignored.
func TestSignalToOthersPassesUsBy(t *testing.T) {
	env, err := exec.LookPath("env")
	if err != nil {
		t.Skip(err)
	}
	cmd := exec.Command(env, "--block-signal=TSTP", os.Args[0], "signal-others")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.CombinedOutput()
	if bytes.Contains(out, []byte("unrecognized option")) {
		t.Skip("env cannot block signals here")
	}
	if err != nil || string(out) != "blocked true, pending false\n" {
		t.Errorf("%v: %s", err, out)
	}
}

func init() {
	if len(os.Args) == 2 && os.Args[1] == "signal-others" {
		signalOthers(syscall.SIGTSTP)
		fmt.Printf("blocked %t, pending %t\n", inMask("SigBlk", syscall.SIGTSTP),
			inMask("ShdPnd", syscall.SIGTSTP))
		os.Exit(0)
	}
}

// inMask looks for a signal in a mask of /proc/self/status.
func inMask(mask string, s syscall.Signal) bool {
	status, _ := os.ReadFile("/proc/self/status")
	bits := regexp.MustCompile(`(?m)^` + mask + `:\s*([0-9a-f]+)$`).FindSubmatch(status)
	if bits == nil {
		return false
	}
	set, _ := strconv.ParseUint(string(bits[1]), 16, 64)
	return set&(1<<(s-1)) != 0
}
