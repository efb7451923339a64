package dataset

import (
	"hash/maphash"
	"strings"
)

// interner finds the code of a string in a dictionary that grows with it. It is a table of its own because a map would hash twice for a new string and could
// not be emptied and used again at the price of clearing four bytes a slot.
type interner struct {
	seed   maphash.Seed
	slots  []uint32 // open addressing: 0 is free, else 1 + code
	hashes []uint32 // of each string of the dictionary
}

func newInterner() *interner { return &interner{seed: maphash.MakeSeed(), slots: make([]uint32, 64)} }

// code returns the code of s and whether it is new; a new string is appended to dict, as a copy if clone is set.
func (n *interner) code(dict *[]string, s string, clone bool) (code uint32, fresh bool) {
	h := uint32(maphash.String(n.seed, s))
	mask := uint32(len(n.slots) - 1)
	at := h & mask
	for ; n.slots[at] != 0; at = (at + 1) & mask {
		code := n.slots[at] - 1
		if n.hashes[code] == h && (*dict)[code] == s {
			return code, false
		}
	}
	if clone {
		s = strings.Clone(s)
	}
	code = uint32(len(n.hashes))
	*dict = append(*dict, s)
	n.hashes = append(n.hashes, h)
	n.slots[at] = code + 1
	if len(n.hashes)*4 > len(n.slots)*3 {
		n.grow()
	}
	return code, true
}

// find returns the code of s if it has one.
func (n *interner) find(dict []string, s string) (code uint32, ok bool) {
	h := uint32(maphash.String(n.seed, s))
	mask := uint32(len(n.slots) - 1)
	for at := h & mask; n.slots[at] != 0; at = (at + 1) & mask {
		code := n.slots[at] - 1
		if n.hashes[code] == h && dict[code] == s {
			return code, true
		}
	}
	return 0, false
}

func (n *interner) grow() {
	n.slots = make([]uint32, 2*len(n.slots))
	mask := uint32(len(n.slots) - 1)
	for code, h := range n.hashes {
		at := h & mask
		for n.slots[at] != 0 {
			at = (at + 1) & mask
		}
		n.slots[at] = uint32(code) + 1
	}
}

// reset makes the interner ready for an empty dictionary.
func (n *interner) reset() {
	clear(n.slots)
	n.hashes = n.hashes[:0]
}
