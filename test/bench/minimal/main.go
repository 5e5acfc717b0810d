// Command minimal does the least that a Go program must do to hold a lock in RabbitMQ
// around a command. It connects, opens a channel, declares an exclusive queue, runs the
// command, and closes. It checks nothing and survives nothing; amqprun is measured
// against it. With -line it also waits for its turn, and gives the lock to the next by
// deleting it and sending a message. With -checked it also asks what amqprun's promises
// need, see grant, and gives the lock to the next. With -slot it also looks for a slot,
// see search. With -token it also does what a fencing token takes, see tokens.
package main

import (
	"errors"
	"flag"
	"os"
	"os/exec"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/errgroup"
)

var (
	line    = flag.Bool("line", false, "wait for the turn")
	checked = flag.Bool("checked", false, "check the grant")
	slot    = flag.Bool("slot", false, "look for a slot first")
	token   = flag.Bool("token", false, "take a fencing token")
)

func main() {
	flag.Parse()
	if err := run(flag.Arg(0), flag.Arg(1), flag.Args()[2:]); err != nil {
		panic(err)
	}
}

func run(lock, name string, args []string) error {
	var log *tokens
	var opened errgroup.Group
	if *token {
		opened.Go(func() (err error) {
			log, err = openTokens(lock)
			return err
		})
	}
	var looked *search
	if *slot {
		opened.Go(func() (err error) {
			looked, err = openSearch(lock)
			return err
		})
	}
	connection, channel, majority, err := connect()
	if err != nil {
		return err
	}
	if *slot {
		if err := opened.Wait(); err != nil {
			return err
		}
	}
	if *checked {
		err = grant(channel, majority, lock)
	} else {
		err = claim(channel, lock)
	}
	if refusal := (*amqp.Error)(nil); *line && errors.As(err, &refusal) &&
		refusal.Code == amqp.ResourceLocked {
		channel, err = wait(connection, lock)
	}
	if err != nil {
		return err
	}
	if err := opened.Wait(); err != nil {
		return err
	}
	if err := work(log, name, args); err != nil {
		return err
	}
	if *line || *checked {
		if _, err := channel.QueueDelete(lock, false, false, false); err != nil {
			return err
		}
	}
	var closed errgroup.Group
	if looked != nil {
		closed.Go(func() error { return looked.close(lock) })
	} else if *line || *checked {
		if err := channel.Publish("", lock+"-line", false, false, amqp.Publishing{}); err != nil {
			return err
		}
	}
	closed.Go(connection.Close)
	return closed.Wait()
}

// work runs the command, between the two records of its run if there is a log.
func work(log *tokens, name string, args []string) error {
	if log != nil {
		if err := log.take(); err != nil {
			return err
		}
	}
	command := exec.Command(name, args...)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := command.Run(); err != nil || log == nil {
		return err
	}
	return log.end()
}

// witness is a quorum queue that amqprun has created for its mutexes.
const witness = "amqprun-witness"

// connect opens the channels at the same time; majority is for grant.
func connect() (connection *amqp.Connection, channel, majority *amqp.Channel, err error) {
	var group errgroup.Group
	if connection, err = amqp.Dial(os.Getenv("AMQPRUN_URL")); err != nil {
		return nil, nil, nil, err
	}
	if *checked {
		group.Go(func() (err error) {
			majority, err = connection.Channel()
			return err
		})
	}
	if channel, err = connection.Channel(); err != nil {
		return nil, nil, nil, err
	}
	err = group.Wait()
	return connection, channel, majority, err
}

// grant claims the lock, reads from a quorum queue beside that, and then looks whether
// the lock is still there. So the grant is proven by a majority.
func grant(channel, majority *amqp.Channel, lock string) error {
	var group errgroup.Group
	group.Go(func() error {
		_, _, err := majority.Get(witness, true)
		return err
	})
	if err := claim(channel, lock); err != nil {
		return err
	}
	if err := group.Wait(); err != nil {
		return err
	}
	_, err := channel.QueueDeclarePassive(lock, false, false, true, false, nil)
	return err
}

func claim(channel *amqp.Channel, lock string) error {
	_, err := channel.QueueDeclare(lock, false, false, true, false, nil)
	return err
}

// wait returns with the lock, and a channel.
func wait(connection *amqp.Connection, lock string) (*amqp.Channel, error) {
	place, err := connection.Channel()
	if err != nil {
		return nil, err
	}
	if _, err := place.QueueDeclare(lock+"-line", false, true, false, false,
		amqp.Table{"x-single-active-consumer": true}); err != nil {
		return nil, err
	}
	turns, err := place.Consume(lock+"-line", "", false, false, false, false, nil)
	if err != nil {
		return nil, err
	}
	channel, err := connection.Channel()
	if err != nil {
		return nil, err
	}
	turn := <-turns
	if err := claim(channel, lock); err != nil {
		return nil, err
	}
	if err := turn.Ack(false); err != nil {
		return nil, err
	}
	return channel, place.Close()
}
