package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/amqprun/amqprun/amqplock"
	"github.com/amqprun/amqprun/internal/console"
	"github.com/amqprun/amqprun/internal/doctor"
	"github.com/amqprun/amqprun/internal/exit"
)

func doctorOptions(o *options) []*option {
	return append(brokerOptions(o), semaphoreOption(o), mutexOption(o), toggle("json", &o.json))
}

// checkup looks whether amqprun can work here, and prints a line for each thing that it
// has looked at. The status is that of the first failure.
func checkup(o *options, c *console.Console) (exit.Outcome, error) {
	list, err := findings(o, c)
	if err != nil {
		return exit.Outcome{}, err
	}
	if err = writeFindings(os.Stdout, list, o.json); err != nil {
		return exit.Outcome{}, err
	}
	for _, f := range list {
		if f.Err != nil {
			return exit.Of(f.Err, exit.NotAcquired), nil
		}
	}
	return exit.Outcome{}, nil
}

func findings(o *options, c *console.Console) ([]amqplock.Finding, error) {
	if err := findAny(o); err != nil {
		return nil, err
	}
	if o.namesLock() {
		if err := amqplock.CheckName(o.Lock.Name); err != nil {
			return nil, err
		}
	}
	if len(o.Broker.URLs) == 0 {
		o.Broker.URLs = []string{amqplock.DefaultURL}
	}
	list := doctor.Machine()
	for _, url := range o.Broker.URLs { // each node of a cluster by itself
		one := *o
		one.Broker.URLs = []string{url}
		client, err := connect(&one, c)
		if err != nil {
			return nil, err
		}
		list = append(list, client.Examine(context.Background(), o.Lock)...)
	}
	return list, nil
}

func writeFindings(w io.Writer, list []amqplock.Finding, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		return encoder.Encode(struct {
			Version  int                `json:"version"`
			Findings []amqplock.Finding `json:"findings"`
		}{1, list})
	}
	for _, f := range list {
		line := fmt.Sprintf("%-8s %-11s %s", f.Level, f.Check, f.Text)
		if f.Fix != "" {
			line += "; to do: " + f.Fix
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}
