package main

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// history runs `true` with and without a record and a token, which take turns. minimal
// shows what a token costs any program.
func (b *bench) history() (*table, error) {
	programs := []struct {
		name string
		argv []string
		base int // the same without
	}{
		{"amqprun", []string{b.amqprun, "--mutex", "history"}, 0},
		{"amqprun --history", []string{b.amqprun, "--history", "--mutex", "history-record"}, 0},
		{"amqprun --fence", []string{b.amqprun, "--fence", "--mutex", "history-token"}, 0},
		{"minimal -checked", []string{b.minimal, "-checked", "history-minimal"}, 3},
		{"minimal -checked -token", []string{b.minimal, "-checked", "-token", "history-minimal"}, 3},
	}
	took := make([][]time.Duration, len(programs))
	for n := range warmUps + b.rounds {
		for i, p := range programs {
			d, err := timed(append(slices.Clone(p.argv), "true")...)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.name, err)
			}
			if n >= warmUps {
				took[i] = append(took[i], d)
			}
		}
	}
	t := newTable(fmt.Sprintf("%d interleaved runs of each.", b.rounds),
		"`true` under a free mutex, median ms (more than without)", "")
	for i, p := range programs {
		own, without := median(took[i]), median(took[p.base])
		cell := ms(own)
		if i != p.base {
			cell = pair(cell, fmt.Sprintf("%+.2f", (own-without).Seconds()*1e3))
		}
		t.add(p.name, cell)
	}
	return t, nil
}

// manyRuns is how many runs the long history has.
const manyRuns = 10_000

// listed lists a long history. Its records were appended one by one, as those of runs
// are, so each is a chunk of its own.
func (b *bench) listed() (*table, error) {
	const lock = "listed"
	if _, err := timed(b.amqprun, "--history", "--mutex", lock, "--", "true"); err != nil {
		return nil, err // it makes the log
	}
	if err := record(lock, manyRuns); err != nil {
		return nil, err
	}
	t := newTable("The records were appended one by one.",
		fmt.Sprintf("`amqprun history`, of %d runs", manyRuns), "median ms", "p90")
	for _, last := range []int{20, manyRuns} {
		var took []time.Duration
		for range max(b.rounds/10, 1) {
			began := time.Now()
			output, err := output(b.amqprun, "history", "--mutex", lock, "-n", fmt.Sprint(last))
			took = append(took, time.Since(began))
			if lines := bytes.Count(output, []byte("\n")) - 1; err != nil || lines != last {
				return nil, fmt.Errorf("amqprun history shows %d of %d runs: %w", lines, last, err)
			}
		}
		middle, _, p90 := spread(took)
		t.add(fmt.Sprintf("the last %d", last), middle, p90)
	}
	return t, nil
}

// record appends runs to the history of a mutex.
func record(lock string, runs int) error {
	connection, channel, err := dial()
	if err != nil {
		return err
	}
	defer connection.Close()
	if err := channel.Confirm(false); err != nil {
		return err
	}
	for i := range runs {
		const common = `{"version":1,"kind":"mutex","id":"%d","at":%q,"host":"host1","user":"root",`
		begin := fmt.Sprintf(common, i, time.Now().UTC().Format(time.RFC3339Nano))
		for _, rest := range []string{
			`"type":"grant","pid":4711,"command":"backup"}`,
			`"type":"end","result":"ended","status":0,"seconds":0.001}`,
		} {
			confirm, err := channel.PublishWithDeferredConfirm("", lock+"-L", true, false,
				amqp.Publishing{Body: []byte(begin + rest)})
			if err != nil {
				return err
			}
			confirm.Wait()
		}
	}
	return nil
}
