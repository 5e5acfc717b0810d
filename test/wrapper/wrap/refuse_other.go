//go:build unix && !linux

package wrap

import "errors"

func asOldKernel() error { return errors.New("there is no seccomp here") }
