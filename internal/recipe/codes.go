package recipe

import (
	"hash/maphash"
	"math/bits"
)

// codes finds the places of strings in a list. Rankings ask for hundreds of items each, for which a search by halves takes most of their time. It is a table with open
// addressing: in each slot that is used, at most half of them, a place above zero, and above its bits as many of the hash as there is room for, so that hardly ever
// another string is looked at than the one that is asked for: each is two or three misses of the cache.
type codes struct {
	seed  maphash.Seed
	list  []string // each once
	slots []uint32
	place uint32 // the bits of a slot that are a place
}

func newCodes(list []string) *codes {
	size := 2
	for size < 2*len(list) {
		size *= 2
	}
	c := &codes{seed: maphash.MakeSeed(), list: list, slots: make([]uint32, size), place: 1<<bits.Len(uint(len(list))) - 1}
	for i, s := range list {
		hash := maphash.String(c.seed, s)
		at := c.home(hash)
		for c.slots[at] != 0 {
			at = (at + 1) & (size - 1)
		}
		c.slots[at] = uint32(i+1) | c.tag(hash)
	}
	return c
}

// home is the slot at which the search for a hash begins.
func (c *codes) home(hash uint64) int { return int(hash & uint64(len(c.slots)-1)) }

// tag are the bits of a hash that stand in its slot.
func (c *codes) tag(hash uint64) uint32 { return uint32(hash>>32) &^ c.place }

// find returns the place of a string.
func (c *codes) find(s string) (int32, bool) { return c.search(s, maphash.String(c.seed, s)) }

// findAll appends the place of each string of a list to places, -1 for those that find does not find. It looks for many at a time, step by step, so that the processor
// waits for memory for all of them at once.
func (c *codes) findAll(list []string, places []int32) []int32 {
	const many = 64
	var hash [many]uint64
	var slot [many]uint32
	var found [many]string // what stands at home
	for ; len(list) > 0; list = list[min(many, len(list)):] {
		part := list[:min(many, len(list))]
		for k, s := range part {
			hash[k] = maphash.String(c.seed, s)
		}
		for k := range part {
			slot[k] = c.slots[c.home(hash[k])]
		}
		for k := range part {
			if found[k] = ""; slot[k] != 0 {
				found[k] = c.list[slot[k]&c.place-1]
			}
		}
		for k, s := range part {
			place := int32(slot[k]&c.place) - 1
			if slot[k]&^c.place != c.tag(hash[k]) || place < 0 || found[k] != s {
				place, _ = c.search(s, hash[k])
			}
			places = append(places, place)
		}
	}
	return places
}

// search is find for whoever has the hash.
func (c *codes) search(s string, hash uint64) (int32, bool) {
	tag := c.tag(hash)
	for at := c.home(hash); c.slots[at] != 0; at = (at + 1) & (len(c.slots) - 1) {
		if slot := c.slots[at]; slot&^c.place == tag && c.list[slot&c.place-1] == s {
			return int32(slot&c.place) - 1, true
		}
	}
	return -1, false
}
