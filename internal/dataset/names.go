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
// A training read asks it once for every entry of every dictionary page, millions of times, and the table does not fit a core's cache. So a cell of the table
// holds the whole of a short string: one look into far memory answers nearly every question. And a page is looked up in passes, so that these looks do not wait
// for one another.
type names struct {
	seed  maphash.Seed // of long strings
	salt  uint64       // of all
	cells []cell       // open addressing, at most half full
	list  []string
	text  []byte // where the next strings are copied to
}

// cell is a string and 1 + its code, or free if that is 0.
type cell struct {
	head
	code uint32
}

// head is a string of up to 15 bytes, with zeros behind it, and its length, as two little-endian numbers: equal heads are equal strings. Of a longer string it is
// both ends.
type head struct{ first, last uint64 }

const (
	headBytes = 15
	longHead  = 0xFF << 56 // where a short string has its length
)

func headOf(s string) head {
	b := unsafe.Slice(unsafe.StringData(s), len(s))
	switch n := len(b); {
	case n > headBytes:
		return head{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[n-8:]) | longHead}
	case n >= 8: // the last eight bytes, without those that the first eight have
		return head{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[n-8:])>>(8*(16-n)) | uint64(n)<<56}
	case n >= 4: // the same with four
		return head{uint64(binary.LittleEndian.Uint32(b)) | uint64(binary.LittleEndian.Uint32(b[n-4:]))>>(8*(8-n))<<32, uint64(n) << 56}
	}
	h := head{last: uint64(len(b)) << 56}
	for i, c := range b {
		h.first |= uint64(c) << (8 * i)
	}
	return h
}

func (h head) long() bool { return h.last >= longHead }

// mix hashes the head as wyhash does. The salt keeps collisions unknown to whoever writes the strings.
func (h head) mix(salt uint64) uint64 {
	hi, lo := bits.Mul64(h.first^salt, h.last^0x9E3779B97F4A7C15)
	hi, lo = bits.Mul64(hi^lo^0xA0761D6478BD642F, salt|1)
	return hi ^ lo
}

func newNames() *names {
	return &names{seed: maphash.MakeSeed(), salt: rand.Uint64(), cells: make([]cell, 64)}
}

// hash mixes short strings; what lies between the ends of long ones must count too.
func (n *names) hash(h head, s string) uint64 {
	if h.long() {
		return maphash.String(n.seed, s)
	}
	return h.mix(n.salt)
}

// code returns the code of s.
func (n *names) code(s string) int32 {
	h := headOf(s)
	return n.find(s, h, n.hash(h, s))
}

// holds tells whether a cell that is not free is that of s.
func (n *names) holds(c *cell, h head, s string) bool {
	return c.head == h && (!h.long() || n.list[c.code-1] == s)
}

func (n *names) find(s string, h head, hash uint64) int32 {
	mask := uint64(len(n.cells) - 1)
	at := hash & mask
	for ; n.cells[at].code != 0; at = (at + 1) & mask {
		if c := &n.cells[at]; n.holds(c, h, s) {
			return int32(c.code) - 1
		}
	}
	n.list = append(n.list, n.copy(s))
	n.cells[at] = cell{h, uint32(len(n.list))}
	if len(n.list)*2 > len(n.cells) {
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
	old := n.cells
	n.cells = make([]cell, 2*len(old))
	mask := uint64(len(n.cells) - 1)
	for _, c := range old {
		if c.code == 0 {
			continue
		}
		at := n.hash(c.head, n.list[c.code-1]) & mask
		for n.cells[at].code != 0 {
			at = (at + 1) & mask
		}
		n.cells[at] = c
	}
}

// passNames is how many strings all takes at a time.
const passNames = 256

// all appends the codes of the strings of a dictionary.
func (n *names) all(codes []int32, dict []string) []int32 {
	var heads [passNames]head
	var hashes [passNames]uint64
	for len(dict) > 0 {
		some := dict[:min(len(dict), passNames)]
		for i, s := range some {
			heads[i] = headOf(s)
			hashes[i] = n.hash(heads[i], s)
		}
		mask, start := uint64(len(n.cells)-1), len(codes)
		for i, hash := range hashes[:len(some)] {
			at := hash & mask
			for n.cells[at].code != 0 && n.cells[at].head != heads[i] {
				at = (at + 1) & mask
			}
			codes = append(codes, int32(n.cells[at].code)-1)
		}
		for i, s := range some { // those that are new, and long ones, of which a head is only a part
			if code := codes[start+i]; code < 0 || heads[i].long() && n.list[code] != s {
				codes[start+i] = n.find(s, heads[i], hashes[i])
			}
		}
		dict = dict[len(some):]
	}
	return codes
}
