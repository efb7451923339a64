package dataset

import "hash/maphash"

// names gives codes to strings in order of appearance.
//
// A training read asks it once for every entry of every dictionary page, millions of times, and the table does not fit a core's cache. So a slot holds enough
// of the hash to say no without following it, texts stand close together, and all takes a whole page in passes whose memory accesses do not wait for one another.
type names struct {
	seed  maphash.Seed
	slots []uint64 // open addressing: 0 is free, else the upper half of the hash and 1 + code
	list  []string
	text  []byte // where the next strings are copied to

	hashes []uint64 // of the page that all is working on
}

func newNames() *names { return &names{seed: maphash.MakeSeed(), slots: make([]uint64, 64)} }

// code returns the code of s.
func (n *names) code(s string) int32 { return n.find(s, maphash.String(n.seed, s)) }

func (n *names) find(s string, hash uint64) int32 {
	mask := uint64(len(n.slots) - 1)
	at := hash & mask
	for ; n.slots[at] != 0; at = (at + 1) & mask {
		if code := int32(uint32(n.slots[at])) - 1; n.slots[at]>>32 == hash>>32 && n.list[code] == s {
			return code
		}
	}
	n.list = append(n.list, n.copy(s))
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
		hash := maphash.String(n.seed, s)
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
	n.hashes = n.hashes[:0]
	for _, s := range dict {
		n.hashes = append(n.hashes, maphash.String(n.seed, s))
	}
	mask := uint64(len(n.slots) - 1)
	for i, hash := range n.hashes { // the first slot with the same half of a hash: nearly always the right one
		at := hash & mask
		for n.slots[at] != 0 && n.slots[at]>>32 != hash>>32 {
			at = (at + 1) & mask
		}
		codes[i] = int32(uint32(n.slots[at])) - 1
	}
	for i, s := range dict {
		if codes[i] < 0 || n.list[codes[i]] != s {
			codes[i] = n.find(s, n.hashes[i])
		}
	}
	return codes
}
