package wire

import (
	"fmt"
	"slices"
)

// MayGrantTwice reports whether the broker's version lets a cluster grant an exclusive
// queue twice. The nodes of one that uses Mnesia may when they lose each other for a
// moment. That is before 4.3. A version that we cannot read counts as one of those.
func (c *Conn) MayGrantTwice() bool {
	return mayGrantTwice(fmt.Sprint(c.Properties["version"]))
}

func mayGrantTwice(version string) bool {
	var v [2]int
	n, _ := fmt.Sscanf(version, "%d.%d", &v[0], &v[1])
	return n < 2 || slices.Compare(v[:], []int{4, 3}) < 0
}
