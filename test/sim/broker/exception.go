package broker

import (
	"fmt"
	"strings"
	"unicode"
)

// exception is why a request is refused. It closes the channel, or the whole connection.
type exception struct {
	code      uint16
	text      string
	hard      bool // it closes the connection
	blameless bool // it is the fault of no method
}

// refuse closes the channel.
func refuse(code uint16, format string, args ...any) *exception {
	return &exception{code: code, text: fmt.Sprintf(format, args...)}
}

// refuseAll closes the connection.
func refuseAll(code uint16, format string, args ...any) *exception {
	return &exception{code: code, text: fmt.Sprintf(format, args...), hard: true}
}

// internal closes the connection for a fault of the broker.
func internal(text string) *exception {
	return &exception{code: codeInternalError, text: text, hard: true, blameless: true}
}

func noQueue(name string) *exception {
	return refuse(codeNotFound, "NOT_FOUND - no queue '%s' in vhost '/'", name)
}

func noHome(name string) *exception {
	return refuse(codeNotFound, "NOT_FOUND - home node 'rabbit@a' of durable queue '%s' in vhost "+
		"'/' is down or inaccessible", name)
}

func noExchange(name string) *exception {
	return refuse(codeNotFound, "NOT_FOUND - no exchange '%s' in vhost '/'", name)
}

func locked(name string) *exception {
	return refuse(codeResourceLocked, "RESOURCE_LOCKED - cannot obtain exclusive access to locked "+
		"queue '%s' in vhost '/'. It could be originally declared on another connection or the "+
		"exclusive property value does not match that of the original declaration.", name)
}

// maxText is how long a short string may be.
const maxText = 255

// breaks reports whether the broker fails over its own text: from 4.0 on RabbitMQ cannot
// cut one with characters of several bytes.
func (e *exception) breaks(r Release) bool {
	wide := func(r rune) bool { return r > unicode.MaxASCII }
	return !e.hard && r != V310 && len(e.text) > maxText && strings.ContainsFunc(e.text, wide)
}

// cut is the text as RabbitMQ shortens it, if need be within a character.
func (e *exception) cut() string {
	if len(e.text) <= maxText {
		return e.text
	}
	return e.text[:maxText-3] + "..."
}
