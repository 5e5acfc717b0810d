package doctor

import "github.com/amqprun/amqprun/amqplock"

// finding is a warning unless ok is true.
func finding(check, text string, ok bool, without, fix string) amqplock.Finding {
	if ok {
		return amqplock.Finding{Check: check, Level: "ok", Text: text}
	}
	return amqplock.Finding{Check: check, Level: "warning", Text: without, Fix: fix}
}
