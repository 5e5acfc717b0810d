package wire

import (
	"fmt"
	"slices"
)

// MayGrantTwice reports whether the broker's version lets a cluster grant an exclusive
// queue twice. Where a cluster uses Mnesia, before 4.3, its nodes may lose each other for
// a moment.
func (c *Conn) MayGrantTwice() bool { return c.Before(4, 3) }

// Before reports whether the broker's version is earlier. One that we cannot read is.
func (c *Conn) Before(major, minor int) bool {
	return before(fmt.Sprint(c.Properties["version"]), major, minor)
}

func before(version string, major, minor int) bool {
	var v [2]int
	n, _ := fmt.Sscanf(version, "%d.%d", &v[0], &v[1])
	return n < 2 || slices.Compare(v[:], []int{major, minor}) < 0
}
