// Command minimal does the least that a Go program must do to hold a lock in RabbitMQ
// around a command. It connects, opens a channel, declares an exclusive queue, runs the
// command, and closes. It checks nothing and survives nothing; amqprun is measured
// against it. With -line it also waits for its turn, and gives the lock to the next by
// deleting it and sending a message.
package main

import (
	"errors"
	"os"
	"os/exec"

	amqp "github.com/rabbitmq/amqp091-go"
)

func main() {
	args, line := os.Args[1:], false
	if args[0] == "-line" {
		args, line = args[1:], true
	}
	if err := run(args[0], line, args[1], args[2:]); err != nil {
		panic(err)
	}
}

func run(lock string, line bool, name string, args []string) error {
	connection, err := amqp.Dial(os.Getenv("AMQPRUN_URL"))
	if err != nil {
		return err
	}
	channel, err := connection.Channel()
	if err != nil {
		return err
	}
	err = claim(channel, lock)
	if refusal := (*amqp.Error)(nil); line && errors.As(err, &refusal) &&
		refusal.Code == amqp.ResourceLocked {
		channel, err = wait(connection, lock)
	}
	if err != nil {
		return err
	}
	command := exec.Command(name, args...)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := command.Run(); err != nil {
		return err
	}
	if line {
		if _, err := channel.QueueDelete(lock, false, false, false); err != nil {
			return err
		}
		if err := channel.Publish("", lock+"-line", false, false, amqp.Publishing{}); err != nil {
			return err
		}
	}
	return connection.Close()
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
