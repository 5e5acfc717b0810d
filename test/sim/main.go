// Command sim runs the simulation of amqplock for as long as one likes, and its negative
// controls. make sim calls it.
//
//	go run ./test/sim -length 30s         new schedules, in a process for each core
//	go run ./test/sim -seed 17 -seeds 1   one schedule, with all that happens
//	go run ./test/sim -controls '*'       each mutant is found
//
// It builds amqplock/internal/sim with a runtime that draws from the seed: math/rand, and
// the order of a select, of a map's iteration and of timers. So a seed replays exactly,
// also in another process and among others. The mutants are built with the usual runtime.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"time"
)

func main() {
	options := options{}
	flag.Uint64Var(&options.seed, "seed", uint64(time.Now().Unix())<<20, "the first seed")
	flag.IntVar(&options.seeds, "seeds", 0, "how many schedules; 0: as many as -length allows")
	flag.StringVar(&options.with, "with", "", "only schedules with this fault, such as split")
	flag.DurationVar(&options.length, "length", 30*time.Second, "for how long schedules begin")
	flag.IntVar(&options.processes, "processes", runtime.NumCPU(), "how many run side by side")
	controls := flag.String("controls", "", "run the mutants with such a name instead, * for all")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if *controls != "" {
		err = runControls(ctx, *controls)
	} else {
		err = options.run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sim:", err)
		stop()
		os.Exit(1)
	}
}

// runControls expects the simulation to find each mutant.
func runControls(ctx context.Context, names string) error {
	files, err := filepath.Glob(filepath.Join("test", "sim", "mutants", names+".txt"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("no mutant %q in test/sim/mutants here", names)
	}
	failed := 0
	for _, file := range files {
		if err := runControl(ctx, file); err != nil {
			failed++
			fmt.Printf("FAIL %s: %v\n", file, err)
		}
	}
	fmt.Printf("%d passed, %d failed, 0 skipped\n", len(files)-failed, failed)
	if failed > 0 {
		return fmt.Errorf("%d of %d mutants were not found", failed, len(files))
	}
	return nil
}
