package dataset

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"math/rand/v2"
	"unsafe"
)

// names gives codes to strings in order of appearance.
//
// A training read asks it once for every entry of every dictionary page, millions of times, and the table does not fit a core's cache. So a slot holds enough of
// the hash to say no without following it, what a slot leads to holds the whole of a short string, and all takes a page in passes whose memory accesses do not
// wait for one another.
type names struct {
	seed  maphash.Seed // of long strings
	salt  uint64       // of short ones
	slots []uint64     // open addressing: 0 is free, else the upper half of the hash and 1 + code
	list  []string
	heads []head // of list
	text  []byte // where the next strings are copied to

	pageHeads  []head // of the page that all is working on
	pageHashes []uint64
}

// head is a string of up to 16 bytes as two numbers and its length: equal heads are equal strings. Of a longer string it is both ends.
type head struct {
	first, last uint64
	size        int
}

const headBytes = 16

func headOf(s string) head {
	b := unsafe.Slice(unsafe.StringData(s), len(s))
	switch {
	case len(b) >= 8: // the two may overlap
		return head{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[len(b)-8:]), len(b)}
	case len(b) >= 4:
		return head{uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[len(b)-4:])), len(b)}
	}
	h := head{size: len(b)}
	for _, c := range b {
		h.first = h.first<<8 | uint64(c)
	}
	return h
}

func newNames() *names {
	return &names{seed: maphash.MakeSeed(), salt: rand.Uint64(), slots: make([]uint64, 64)}
}

// hash mixes short strings as wyhash does; what lies between the ends of long ones must count too.
func (n *names) hash(h head, s string) uint64 {
	if h.size > headBytes {
		return maphash.String(n.seed, s)
	}
	hi, lo := bits.Mul64(h.first^n.salt, h.last^0x9E3779B97F4A7C15^uint64(h.size))
	hi, lo = bits.Mul64(hi^lo^0xA0761D6478BD642F, n.salt|1)
	return hi ^ lo
}

// code returns the code of s.
func (n *names) code(s string) int32 {
	h := headOf(s)
	return n.find(s, h, n.hash(h, s))
}

// is tells whether a code is that of s.
func (n *names) is(code int32, h head, s string) bool {
	return n.heads[code] == h && (h.size <= headBytes || n.list[code] == s)
}

func (n *names) find(s string, h head, hash uint64) int32 {
	mask := uint64(len(n.slots) - 1)
	at := hash & mask
	for ; n.slots[at] != 0; at = (at + 1) & mask {
		if code := int32(uint32(n.slots[at])) - 1; n.slots[at]>>32 == hash>>32 && n.is(code, h, s) {
			return code
		}
	}
	n.list, n.heads = append(n.list, n.copy(s)), append(n.heads, h)
	n.slots[at] = hash>>32<<32 | uint64(len(n.list))
	if len(n.list)*2 > len(n.slots) {
		n.grow()
	}
	return int32(len(n.list) - 1)
}

// textBytes is how much text is allocated at once.
const textBytes = 64 << 10

// copy keeps a string that may lie in a page.
func (n *names) copy(s string) string {
	if len(s) > cap(n.text)-len(n.text) {
		n.text = make([]byte, 0, max(textBytes, len(s)))
	}
	from := len(n.text)
	n.text = append(n.text, s...)
	return textOf(n.text[from:])
}

func (n *names) grow() {
	n.slots = make([]uint64, 2*len(n.slots))
	mask := uint64(len(n.slots) - 1)
	for code, s := range n.list {
		hash := n.hash(n.heads[code], s)
		at := hash & mask
		for n.slots[at] != 0 {
			at = (at + 1) & mask
		}
		n.slots[at] = hash>>32<<32 | uint64(code+1)
	}
}

// all returns the codes of the strings of a dictionary.
func (n *names) all(dict []string) []int32 {
	codes := make([]int32, len(dict))
	n.pageHeads, n.pageHashes = n.pageHeads[:0], n.pageHashes[:0]
	for _, s := range dict {
		h := headOf(s)
		n.pageHeads, n.pageHashes = append(n.pageHeads, h), append(n.pageHashes, n.hash(h, s))
	}
	mask := uint64(len(n.slots) - 1)
	for i, hash := range n.pageHashes { // the first slot with the same half of a hash: nearly always the right one
		at := hash & mask
		for n.slots[at] != 0 && n.slots[at]>>32 != hash>>32 {
			at = (at + 1) & mask
		}
		codes[i] = int32(uint32(n.slots[at])) - 1
	}
	for i, s := range dict {
		if codes[i] < 0 || !n.is(codes[i], n.pageHeads[i], s) {
			codes[i] = n.find(s, n.pageHeads[i], n.pageHashes[i])
		}
	}
	return codes
}
