package runner

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func asSiginfo(info *childInfo) *unix.Siginfo { return (*unix.Siginfo)(unsafe.Pointer(info)) }
