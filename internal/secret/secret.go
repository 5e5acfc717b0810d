// Package secret keeps the passwords of broker URLs out of what others can read.
package secret

import (
	"os"
	"regexp"
	"strings"
	"unsafe"
)

// urlPassword matches a URL up to the last "@" of the word. There the password ends, also
// in a URL with unescaped characters.
const urlPassword = `(://[^\s:@/]*:)([^\s]*)@`

// Redact replaces the passwords of all URLs in text by "***".
func Redact(text string) string {
	if !strings.Contains(text, "://") {
		return text
	}
	return regexp.MustCompile(urlPassword).ReplaceAllString(text, "${1}***@")
}

// HideArguments overwrites the passwords of URLs in this process's command line, as ps
// and /proc show it. os.Args is a copy from before that.
//
// The strings of os.Args are that memory itself: the Go runtime makes them without
// copying, on every system like Unix.
func HideArguments() {
	visible := os.Args
	os.Args = make([]string, len(visible))
	for i, arg := range visible {
		os.Args[i] = arg
		if !strings.Contains(arg, "://") || !strings.Contains(arg, "@") {
			continue
		}
		os.Args[i] = strings.Clone(arg)
		memory := unsafe.Slice(unsafe.StringData(arg), len(arg))
		matches := regexp.MustCompile(urlPassword).FindAllStringSubmatchIndex(os.Args[i], -1)
		for _, match := range matches {
			for at := match[4]; at < match[5]; at++ {
				memory[at] = 'x'
			}
		}
	}
}
