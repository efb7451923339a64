package dataset

import (
	"hash/maphash"
	"strings"
)

// interner finds the code of a string in a dictionary that grows with it. It is a table of its own because a map would hash twice for a new string and could
// not be emptied and used again at the price of clearing eight bytes a slot.
type interner struct {
	seed  maphash.Seed
	slots []uint64 // open addressing: 0 is free, else half a hash above 1 + code, so that a string is looked at only where it is most likely the one
	n     int      // strings in the dictionary
}

func newInterner() *interner { return &interner{seed: maphash.MakeSeed(), slots: make([]uint64, 64)} }

// code returns the code of s and whether it is new; a new string is appended to dict, as a copy if clone is set.
func (n *interner) code(dict *[]string, s string, clone bool) (code uint32, fresh bool) {
	code, at, hash, ok := n.look(*dict, s)
	if ok {
		return code, false
	}
	if clone {
		s = strings.Clone(s)
	}
	code = uint32(n.n)
	*dict = append(*dict, s)
	n.slots[at] = hash<<32 | uint64(code+1)
	if n.n++; n.n*4 > len(n.slots)*3 {
		n.grow()
	}
	return code, true
}

// find returns the code of s if it has one.
func (n *interner) find(dict []string, s string) (code uint32, ok bool) {
	code, _, _, ok = n.look(dict, s)
	return code, ok
}

// look returns the slot of s, or the free one where it belongs.
func (n *interner) look(dict []string, s string) (code uint32, at, hash uint64, ok bool) {
	hash = maphash.String(n.seed, s) >> 32
	mask := uint64(len(n.slots) - 1)
	for at = hash & mask; n.slots[at] != 0; at = (at + 1) & mask {
		if slot := n.slots[at]; slot>>32 == hash && dict[uint32(slot)-1] == s {
			return uint32(slot) - 1, at, hash, true
		}
	}
	return 0, at, hash, false
}

func (n *interner) grow() {
	old := n.slots
	n.slots = make([]uint64, 2*len(old))
	mask := uint64(len(n.slots) - 1)
	for _, slot := range old {
		if slot == 0 {
			continue
		}
		at := slot >> 32 & mask
		for n.slots[at] != 0 {
			at = (at + 1) & mask
		}
		n.slots[at] = slot
	}
}

// reset makes the interner ready for an empty dictionary.
func (n *interner) reset() {
	clear(n.slots)
	n.n = 0
}
