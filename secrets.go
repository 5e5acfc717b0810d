package main

import (
	"os"
	"regexp"
	"strings"
	"unsafe"
)

// urlPassword matches a URL up to the end of its password, wrong ones too: up to the last "@" of the word.
const urlPassword = `(://[^\s:@/]*:)([^\s]*)@`

// withoutPasswords is for texts that repeat what somebody has typed.
func withoutPasswords(text string) string {
	if !strings.Contains(text, "://") {
		return text
	}
	return regexp.MustCompile(urlPassword).ReplaceAllString(text, "${1}***@")
}

// hidePasswords overwrites the passwords of URLs in this process's command line as ps and /proc show it, and makes os.Args a copy from before.
// The strings of os.Args are that memory itself: the Go runtime makes them without copying, on everything that is like Unix.
func hidePasswords() {
	shown := os.Args
	os.Args = make([]string, len(shown))
	for i, arg := range shown {
		os.Args[i] = arg
		if !strings.Contains(arg, "://") || !strings.Contains(arg, "@") {
			continue
		}
		os.Args[i] = strings.Clone(arg)
		memory := unsafe.Slice(unsafe.StringData(arg), len(arg))
		for _, match := range regexp.MustCompile(urlPassword).FindAllStringSubmatchIndex(os.Args[i], -1) {
			for at := match[4]; at < match[5]; at++ {
				memory[at] = 'x'
			}
		}
	}
}
