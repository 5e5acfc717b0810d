// Command minimal is what a Go program must do at the very least to hold a lock in RabbitMQ around a command: connect, open a
// channel, declare an exclusive queue, run the command, close. It checks nothing and survives nothing; amqprun is measured against it.
package main

import (
	"os"
	"os/exec"

	amqp "github.com/rabbitmq/amqp091-go"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		panic(err)
	}
}

func run(queue, name string, args []string) error {
	connection, err := amqp.Dial(os.Getenv("AMQPRUN_URL"))
	if err != nil {
		return err
	}
	channel, err := connection.Channel()
	if err != nil {
		return err
	}
	if _, err := channel.QueueDeclare(queue, false, false, true, false, nil); err != nil {
		return err
	}
	command := exec.Command(name, args...)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := command.Run(); err != nil {
		return err
	}
	return connection.Close()
}
