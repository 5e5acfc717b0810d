package main

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/amqprun/amqprun/amqplock"
)

// Everything that amqprun says goes to standard error with its name before it; standard output is the command's. It is lower case, without a
// full stop. A standard error that nobody reads is no reason to fail.

var printing sync.Mutex

func printLine(kind, text string) {
	printing.Lock()
	defer printing.Unlock()
	write(aroundLive(fmt.Sprintf("amqprun: %s%s\n", kind, text)))
}

// printError prints err, and the hint that goes with it.
func printError(err error) {
	printLine("error: ", err.Error())
	var known *amqplock.Error
	var usage *usageError
	switch {
	case errors.As(err, &known) && known.Hint != "":
		printLine("hint: ", known.Hint)
	case errors.As(err, &usage) && usage.hint != "":
		printLine("hint: ", usage.hint)
	}
}

// logf tells a step to who asked for it.
func (o *options) logf(format string, args ...any) {
	if o.verbose {
		printLine(fmt.Sprintf("[%7.3fs] ", time.Since(o.started).Seconds()), fmt.Sprintf(format, args...))
	}
}

// warnf tells what everyone should know who did not ask for silence.
func (o *options) warnf(format string, args ...any) {
	if !o.quiet {
		printLine("warning: ", fmt.Sprintf(format, args...))
	}
}
