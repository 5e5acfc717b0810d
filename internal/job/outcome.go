package job

import (
	"fmt"
	"time"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/internal/exit"
	"github.com/amqprun/amqprun/internal/report"
	"github.com/amqprun/amqprun/runner"
	"github.com/amqprun/amqprun/signals"
)

// endingOf is what the history says of the end. Its words are those of a report.
func endingOf(status runner.Status, err error) amqplock.Ending {
	ending := amqplock.Ending{Result: report.Result(err)}
	if s, ok := status.Signal(); ok {
		ending.Signal = signals.Name(s)
	} else if status.Started {
		code := status.ExitCode()
		ending.Status = &code
	}
	return ending
}

// ofCommand is the outcome of a command that ran to its own end.
func ofCommand(status runner.Status) exit.Outcome {
	if s, ok := status.Signal(); ok {
		return exit.KilledBy(s)
	}
	return exit.Outcome{Code: status.ExitCode()}
}

// consequence says what the loss of the lock meant for the command.
func consequence(status runner.Status) string {
	took := status.StopTook.Round(time.Millisecond)
	switch {
	case !status.Started:
		return "the command was not started"
	case status.Unfinished:
		return fmt.Sprintf("the command was killed, but a part of it still lives after %s", took)
	case !status.Stopped:
		return "the command had just ended"
	}
	return fmt.Sprintf("the command was stopped in %s and %s", took, ending(status))
}

// ending says how a command that was started has ended.
func ending(status runner.Status) string {
	if s, ok := status.Signal(); ok {
		return "died of " + signals.Name(s)
	}
	return fmt.Sprintf("exited with %d", status.ExitCode())
}
