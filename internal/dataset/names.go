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
// A training read asks it once for every entry of every dictionary page, millions of times, and the table does not fit a core's cache. So all of it is as small
// as can be: four bytes a slot, which still say no to nearly all strings but the right one, and sixteen for what a slot leads to, which hold the whole of a short
// string. And a page is looked up in passes whose memory accesses do not wait for one another.
type names struct {
	seed  maphash.Seed // of long strings
	salt  uint64       // of all
	slots []uint32     // open addressing: 0 is free, else 1 + code, below bits of the hash as far as there is room
	list  []string
	heads []head // of list
	text  []byte // where the next strings are copied to
}

// head is a string of up to 15 bytes and its length as two numbers: equal heads are equal strings. Of a longer string it is both ends.
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
	case n >= 4: // the two may overlap
		return head{uint64(binary.LittleEndian.Uint32(b)) | uint64(binary.LittleEndian.Uint32(b[n-4:]))<<32, uint64(n) << 56}
	}
	h := head{last: uint64(len(b)) << 56}
	for _, c := range b {
		h.first = h.first<<8 | uint64(c)
	}
	return h
}

func (h head) long() bool { return h.last >= longHead }

func newNames() *names {
	return &names{seed: maphash.MakeSeed(), salt: rand.Uint64(), slots: make([]uint32, 64)}
}

// hash mixes short strings as wyhash does; what lies between the ends of long ones must count too.
func (n *names) hash(h head, s string) uint64 {
	if h.long() {
		return maphash.String(n.seed, s)
	}
	hi, lo := bits.Mul64(h.first^n.salt, h.last^0x9E3779B97F4A7C15)
	hi, lo = bits.Mul64(hi^lo^0xA0761D6478BD642F, n.salt|1)
	return hi ^ lo
}

// tag is what a slot holds of a hash: of the half that does not choose the slot as many bits as codes leave.
func (n *names) tag(hash uint64) uint32 { return uint32(hash>>32) &^ uint32(len(n.slots)-1) }

// codeIn is the code in a slot, -1 if it is free.
func (n *names) codeIn(slot uint32) int32 { return int32(slot&uint32(len(n.slots)-1)) - 1 }

// code returns the code of s.
func (n *names) code(s string) int32 {
	h := headOf(s)
	return n.find(s, h, n.hash(h, s))
}

// is tells whether a code is that of s.
func (n *names) is(code int32, h head, s string) bool {
	return n.heads[code] == h && (!h.long() || n.list[code] == s)
}

func (n *names) find(s string, h head, hash uint64) int32 {
	mask, tag := uint64(len(n.slots)-1), n.tag(hash)
	at := hash & mask
	for ; n.slots[at] != 0; at = (at + 1) & mask {
		if slot := n.slots[at]; slot&^uint32(mask) == tag && n.is(n.codeIn(slot), h, s) {
			return n.codeIn(slot)
		}
	}
	n.list, n.heads = append(n.list, n.copy(s)), append(n.heads, h)
	n.slots[at] = tag | uint32(len(n.list))
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
	n.slots = make([]uint32, 2*len(n.slots))
	mask := uint64(len(n.slots) - 1)
	for code, s := range n.list {
		hash := n.hash(n.heads[code], s)
		at := hash & mask
		for n.slots[at] != 0 {
			at = (at + 1) & mask
		}
		n.slots[at] = n.tag(hash) | uint32(code+1)
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
		mask, start := uint64(len(n.slots)-1), len(codes)
		for _, hash := range hashes[:len(some)] { // the first slot with the same tag: nearly always the right one
			tag, at := n.tag(hash), hash&mask
			for n.slots[at] != 0 && n.slots[at]&^uint32(mask) != tag {
				at = (at + 1) & mask
			}
			codes = append(codes, n.codeIn(n.slots[at]))
		}
		for i, s := range some {
			if code := codes[start+i]; code < 0 || !n.is(code, heads[i], s) {
				codes[start+i] = n.find(s, heads[i], hashes[i])
			}
		}
		dict = dict[len(some):]
	}
	return codes
}
