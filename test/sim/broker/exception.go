package broker

import (
	"fmt"
	"strings"
	"unicode"
)

func noQueue(name string) string {
	return fmt.Sprintf("NOT_FOUND - no queue '%s' in vhost '/'", name)
}

func noExchange(name string) string {
	return fmt.Sprintf("NOT_FOUND - no exchange '%s' in vhost '/'", name)
}

func locked(name string) string {
	return fmt.Sprintf("RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '%s' in "+
		"vhost '/'. It could be originally declared on another connection or the exclusive "+
		"property value does not match that of the original declaration.", name)
}

// maxText is how long a short string may be.
const maxText = 255

// cut is how RabbitMQ shortens a text, if need be within a character.
func cut(text string) string {
	if len(text) <= maxText {
		return text
	}
	return text[:maxText-3] + "..."
}

func isASCII(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII })
}
