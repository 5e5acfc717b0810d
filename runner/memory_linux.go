package runner

import (
	"bufio"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// dropFileMappings gives the memory of code and constants back; the kernel reads from the file what is needed again. It
// is most of what an idle Go program occupies.
//
// It spares every mapping of which a page was changed since it was read from the file, even if it is read-only now: the
// dynamic linker does that to its tables, and with the changes dropped the program crashes.
func dropFileMappings() {
	debug.FreeOSMemory()
	smaps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer smaps.Close()
	var start, end uint64
	candidate := false
	for lines := bufio.NewScanner(smaps); lines.Scan(); {
		// 00400000-0052d000 r-xp 00000000 08:01 1234  /path, and then lines like this: Anonymous:  0 kB
		fields := strings.Fields(lines.Text())
		if len(fields) >= 2 && strings.HasSuffix(fields[0], ":") {
			if candidate && fields[0] == "Anonymous:" && fields[1] == "0" {
				_, _, _ = syscall.RawSyscall(syscall.SYS_MADVISE, uintptr(start), uintptr(end-start), unix.MADV_DONTNEED)
			}
			continue
		}
		candidate = len(fields) >= 6 && fields[1][1] == '-' && strings.HasPrefix(fields[5], "/")
		if from, to, ok := strings.Cut(fields[0], "-"); ok {
			start, _ = strconv.ParseUint(from, 16, 64)
			end, _ = strconv.ParseUint(to, 16, 64)
		}
	}
}
