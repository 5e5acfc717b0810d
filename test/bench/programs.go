package main

import (
	"fmt"
)

// change gives a semaphore so many slots.
func (b *bench) change(name string, slots int) error {
	_, err := timed(b.amqprun, "change", "--semaphore", name, "--to", fmt.Sprint(slots))
	return err
}

func (b *bench) destroy(name string) error {
	_, err := timed(b.amqprun, "destroy", "--semaphore", name)
	return err
}
