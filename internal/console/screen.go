package console

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Screen is a terminal on standard output that is filled again and again.
type Screen struct{ cleared bool }

// NewScreen returns nil where standard output is no terminal.
func NewScreen() *Screen {
	if !term.IsTerminal(unix.Stdout) {
		return nil
	}
	return &Screen{}
}

// Draw replaces what the terminal shows by the time and text.
func (s *Screen) Draw(text string) error {
	columns, rows, err := term.GetSize(unix.Stdout)
	if err == nil {
		drawn := frame(text, time.Now(), columns, rows)
		if !s.cleared {
			drawn = "\x1b[2J" + drawn
		}
		_, err = os.Stdout.WriteString(drawn)
	}
	if err != nil {
		return fmt.Errorf("the terminal is gone: %w", err)
	}
	s.cleared = true
	return nil
}

// frame is what to send to a terminal of that size. Lines are overwritten one by one, so
// that nothing flickers.
func frame(text string, now time.Time, columns, rows int) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	lines = append([]string{now.Format(time.DateTime)}, lines...)
	if rows > 1 && len(lines) > rows-1 { // a full last line would scroll
		lines = lines[:rows-1]
	}
	drawn := "\x1b[H"
	for _, line := range lines {
		if columns > 0 {
			line = fit(line, columns)
		}
		drawn += line + "\x1b[K\n"
	}
	return drawn + "\x1b[J"
}
