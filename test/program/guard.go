package program

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// GuardOf returns the pid of the guard of an amqprun, 0 if there is none that has named
// itself.
func GuardOf(pid int) int {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		children, _ := os.ReadFile(list)
		for _, child := range strings.Fields(string(children)) {
			comm, _ := os.ReadFile("/proc/" + child + "/comm")
			if string(comm) == "lock-guard\n" {
				guard, _ := strconv.Atoi(child)
				return guard
			}
		}
	}
	return 0
}
