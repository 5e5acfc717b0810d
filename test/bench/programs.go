package main

import (
	"fmt"
)

// programs are what the parts start, for one broker.
type programs struct {
	dir     string // for lock files, stamps and what is to be plotted
	amqprun string
	stamp   string // the program that writes down when it runs
	minimal string // test/bench/minimal
	broker  broker
}

// change gives a semaphore so many slots.
func (ps *programs) change(name string, slots int) error {
	_, err := timed(ps.amqprun, "change", "--semaphore", name, "--to", fmt.Sprint(slots))
	return err
}

func (ps *programs) destroy(name string) error {
	_, err := timed(ps.amqprun, "destroy", "--semaphore", name)
	return err
}
