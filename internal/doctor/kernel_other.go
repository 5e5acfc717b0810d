//go:build unix && !linux

package doctor

import "github.com/amqprun/amqprun/amqplock"

func kernel() []amqplock.Finding {
	return []amqplock.Finding{finding("kernel", "", false,
		"this system is not Linux: only the process group of a command is stopped", "")}
}
