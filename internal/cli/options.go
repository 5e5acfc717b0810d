package cli

import (
	"time"

	"github.com/amqprun/amqprun/internal/console"
	"github.com/amqprun/amqprun/internal/job"
)

// options is a parsed command line. Spec has what a job needs of it as it was given, and
// specOf completes it.
type options struct {
	job.Spec
	subcommand string          // empty: run a command
	given      map[string]bool // the options that the command line has, by their first name
	args       []string        // what follows the options

	messages console.Settings
	help     bool
	version  bool

	urlFile, passwordFile string
	mutex, semaphore      string // one of them names Lock

	shellCommand string // of --command
	showCommand  bool
	hideCommand  bool // once the way to say what is the default now

	holdFor int
	holdMax time.Duration
	holdLog string

	json   bool
	watch  bool
	last   int // of the history
	follow bool
	holder string
	to     int
	drain  bool
}

// namesLock reports whether the command line names a lock.
func (o *options) namesLock() bool { return o.given["mutex"] || o.given["semaphore"] }
