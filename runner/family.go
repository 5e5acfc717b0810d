package runner

import "os"

// family is the tree of the command, as far as our children and /proc show it.
type family struct {
	jobControl
	children  <-chan os.Signal // SIGCHLD
	signals   <-chan os.Signal
	unrelated memory // while the tree is stopped or paused
}
