package dataset

import (
	"encoding/binary"
	"hash/maphash"
	"math/rand/v2"

	"github.com/palate-dev/palate/internal/rowtext"
	"github.com/palate-dev/palate/internal/schema"
)

// textTable gives each distinct string a code, in order of appearance. The strings stand in records of 16 bytes, a short one as a whole: looking one up that is
// known touches a slot and a record, and calls nothing to compare it.
type textTable struct {
	seed    maphash.Seed // of long strings
	salt    uint64       // of all
	slots   []uint64     // open addressing: 0 is free, else hash<<32 | 1 + code
	records []byte       // by code: the head of a short string, little-endian, or where a long one stands in text
	text    []byte

	touched byte // keeps the compiler from leaving out the loads of touch
}

const (
	firstSlots  = 64
	nearSlots   = 2048 // up to so many, a table is in a near cache anyway
	recordBytes = headBytes + 1
)

func newTextTable() *textTable {
	return &textTable{seed: maphash.MakeSeed(), salt: rand.Uint64(), slots: make([]uint64, firstSlots)}
}

// hash returns 32 bits of hash, as the upper half.
func (t *textTable) hash(h head, s string) uint64 {
	if h.long() {
		return maphash.String(t.seed, s) << 32
	}
	return h.mix(t.salt) << 32
}

// find returns the code of s, or the slot where it belongs.
func (t *textTable) find(s string, h head, hash uint64) (code uint32, known bool, slot int) {
	mask := len(t.slots) - 1
	for slot = int(hash>>32) & mask; ; slot = (slot + 1) & mask {
		x := t.slots[slot]
		if x == 0 {
			return 0, false, slot
		}
		if (x^hash)>>32 == 0 {
			if code := uint32(x) - 1; t.holds(code, s, h) {
				return code, true, slot
			}
		}
	}
}

// holds tells whether a code is that of s.
func (t *textTable) holds(code uint32, s string, h head) bool {
	if h.long() {
		return t.at(code) == s
	}
	return t.record(code) == h
}

func (t *textTable) record(code uint32) head {
	r := t.records[int(code)*recordBytes:][:recordBytes]
	return head{binary.LittleEndian.Uint64(r), binary.LittleEndian.Uint64(r[8:])}
}

// touch brings what find will look at into the cache. Loads that do not wait for one another are in flight together, where find alone would wait for both, string
// by string.
func (t *textTable) touch(hashes []uint64) {
	if len(t.slots) <= nearSlots {
		return
	}
	var slots [rowtext.BatchRows]uint64
	mask := len(t.slots) - 1
	for i, h := range hashes {
		slots[i&(rowtext.BatchRows-1)] = t.slots[int(h>>32)&mask]
	}
	sum := byte(0)
	for i := range hashes {
		if at := (int(uint32(slots[i&(rowtext.BatchRows-1)])) - 1) * recordBytes; uint(at) < uint(len(t.records)) {
			sum += t.records[at]
		}
	}
	t.touched = sum
}

// codes fills out with the codes of a batch of strings, new ones if need be.
func (t *textTable) codes(texts []string, out []uint32) {
	var heads [rowtext.BatchRows]head
	var hashes [rowtext.BatchRows]uint64
	texts = texts[:min(len(texts), rowtext.BatchRows)]
	out = out[:len(texts)]
	for i, s := range texts {
		heads[i] = headOf(s)
		hashes[i] = t.hash(heads[i], s)
	}
	t.touch(hashes[:len(texts)])
	for i, s := range texts {
		code, known, slot := t.find(s, heads[i], hashes[i])
		if !known {
			code = t.add(s, heads[i], slot, hashes[i])
		}
		out[i] = code
	}
}

// add appends a string that find has not found.
func (t *textTable) add(s string, h head, slot int, hash uint64) uint32 {
	code := uint32(t.len())
	if h.long() {
		h = head{uint64(len(t.text))<<32 | uint64(len(s)), longHead}
		t.text = append(t.text, s...)
	}
	t.records = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(t.records, h.first), h.last)
	t.slots[slot] = hash | uint64(code+1)
	if t.len()*2 > len(t.slots) {
		t.grow()
	}
	return code
}

func (t *textTable) grow() {
	old := t.slots
	t.slots = make([]uint64, 2*len(old))
	mask := len(t.slots) - 1
	for _, x := range old {
		if x == 0 {
			continue
		}
		slot := int(x>>32) & mask
		for t.slots[slot] != 0 {
			slot = (slot + 1) & mask
		}
		t.slots[slot] = x
	}
}

// at returns a string of the table, valid until the next reset.
func (t *textTable) at(code uint32) string {
	r := t.records[int(code)*recordBytes:][:recordBytes]
	if n := r[headBytes]; n <= headBytes {
		return textOf(r[:n])
	}
	span := binary.LittleEndian.Uint64(r)
	return textOf(t.text[span>>32:][:uint32(span)])
}

func (t *textTable) len() int { return len(t.records) / recordBytes }

// strings appends all strings in the order of their codes. They are valid until the next reset.
func (t *textTable) strings(dst []string) []string {
	for code := range t.len() {
		dst = append(dst, t.at(uint32(code)))
	}
	return dst
}

// reset empties the table and keeps its memory.
func (t *textTable) reset() {
	clear(t.slots)
	t.records, t.text = t.records[:0], t.text[:0]
}

// textCodes is the dictionary of one column that a worker of an import fills while it reads, so that the rows of the spill hold short codes for what is
// repeated. It is bounded: a string that is long, or new when the budget is spent, or in a column of which nearly all strings are new, has no code.
type textCodes struct {
	table  *textTable
	budget *int // bytes that all dictionaries of the worker may still take
	asked  int
	state  codesState
}

type codesState uint8

const (
	codesOpen   codesState = iota
	codesFull              // nothing is added any more
	codesClosed            // nor is anything looked up
)

const (
	maxCoded    = 128     // bytes of a string that gets a code
	judgedAfter = 1 << 16 // distinct strings after which one in ten must have been seen before
)

func newTextCodes(budget *int) *textCodes { return &textCodes{table: newTextTable(), budget: budget} }

// codes fills out with 1 + code of each string of a column of a batch of rows, 0 for null and for what has no code. The column's values stand in values, one
// in each of so many fields.
func (c *textCodes) codes(values []schema.Value, fields int, out []uint32) {
	var heads [rowtext.BatchRows]head
	var hashes [rowtext.BatchRows]uint64
	out = out[:min(len(out), rowtext.BatchRows)]
	if c.state == codesClosed {
		clear(out)
		return
	}
	for i := range out {
		s := values[i*fields].Str
		heads[i] = headOf(s)
		hashes[i] = c.table.hash(heads[i], s)
	}
	c.table.touch(hashes[:len(out)])
	for i := range out {
		out[i] = 0
		if v := &values[i*fields]; v.Valid && len(v.Str) <= maxCoded {
			out[i] = c.code(v.Str, heads[i], hashes[i])
		}
	}
}

func (c *textCodes) code(s string, h head, hash uint64) uint32 {
	c.asked++
	code, known, slot := c.table.find(s, h, hash)
	cost := recordBytes + 16 // two slots on the average, and as much while they are moved
	if h.long() {
		cost += len(s)
	}
	switch n := c.table.len(); {
	case known:
		return code + 1
	case c.state != codesOpen:
		return 0
	case *c.budget < cost:
		c.state = codesFull
		return 0
	case n >= judgedAfter && 10*c.asked < 11*n:
		c.state = codesClosed
		return 0
	default:
		*c.budget -= cost
		return c.table.add(s, h, slot, hash) + 1
	}
}

// mergeCodes turns the codes of all workers for one column into ranks in one sorted dictionary: ranks[w][code].
func mergeCodes(workers []*textCodes) (dict []string, ranks [][]uint32) {
	var all []string
	for _, c := range workers {
		all = c.table.strings(all)
	}
	order := sortedTexts(all)
	to := make([]uint32, len(all))
	for _, i := range order {
		if len(dict) == 0 || dict[len(dict)-1] != all[i] {
			dict = append(dict, all[i])
		}
		to[i] = uint32(len(dict) - 1)
	}
	for _, c := range workers {
		n := c.table.len()
		ranks = append(ranks, to[:n:n])
		to = to[n:]
		c.table.slots = nil // only the strings are needed from here on
	}
	return dict, ranks
}
