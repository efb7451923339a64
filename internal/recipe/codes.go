package recipe

import "hash/maphash"

// codes finds the places of strings in a list. Rankings ask for hundreds of items each, for which a search by halves takes most of their time. It is a table with open
// addressing: a place above zero in each slot that is used, at most half of them.
type codes struct {
	seed  maphash.Seed
	list  []string // each once
	slots []uint32
}

func newCodes(list []string) *codes {
	size := 2
	for size < 2*len(list) {
		size *= 2
	}
	c := &codes{seed: maphash.MakeSeed(), list: list, slots: make([]uint32, size)}
	for i, s := range list {
		c.slots[c.slot(s)] = uint32(i) + 1
	}
	return c
}

// slot is where a string stands, or would.
func (c *codes) slot(s string) int {
	at := int(maphash.String(c.seed, s) & uint64(len(c.slots)-1))
	for c.slots[at] != 0 && c.list[c.slots[at]-1] != s {
		at = (at + 1) & (len(c.slots) - 1)
	}
	return at
}

// find returns the place of a string.
func (c *codes) find(s string) (int32, bool) {
	n := c.slots[c.slot(s)]
	return int32(n) - 1, n != 0
}
