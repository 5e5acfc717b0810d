package cli

import (
	"syscall"
	"time"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/internal/console"
	"github.com/amqprun/amqprun/internal/job"
	"github.com/amqprun/amqprun/runner"
)

// options is a parsed command line.
type options struct {
	began      time.Time
	subcommand string          // empty: run a command
	given      map[string]bool // the options that the command line has, by their first name
	args       []string        // what follows the options

	messages console.Settings
	help     bool
	version  bool

	broker                amqplock.Broker
	urlFile, passwordFile string
	mutex, semaphore      string
	lock                  amqplock.Ref // named by one of them

	noWait       bool
	wait         time.Duration
	conflictCode int
	slots, count int
	greedy       bool
	priority     int
	elastic      bool

	checkInterval time.Duration
	stopTime      time.Duration

	command     string // of --command
	onLoss      job.OnLoss
	regain      time.Duration
	stopSignal  syscall.Signal
	orphans     runner.Orphans
	progress    time.Duration
	report      string
	metadata    map[string]string
	showCommand bool
	hideCommand bool // once the way to say what is the default now

	history bool
	fence   bool
	once    time.Duration

	holdFor *int // nil: the caller
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
