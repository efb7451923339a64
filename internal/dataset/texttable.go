package dataset

import (
	"hash/maphash"
	"math/bits"
	"math/rand/v2"
	"unsafe"

	"github.com/palate-dev/palate/internal/rowtext"
	"github.com/palate-dev/palate/internal/schema"
)

// textTable gives each distinct string a code, in order of appearance, and keeps the strings back to back: looking up a string that is known touches a slot,
// its end and its bytes, which for the tens of thousands of keys of a run all stay in a core's own cache.
type textTable struct {
	seed   maphash.Seed
	secret [2]uint64
	slots  []uint64 // open addressing: 0 is free, else hash<<32 | 1 + code
	ends   []uint32 // where each string ends in text
	text   []byte

	touched byte // keeps the compiler from leaving out the loads of touch
}

const firstSlots = 64

func newTextTable() *textTable {
	t := &textTable{seed: maphash.MakeSeed(), slots: make([]uint64, firstSlots)}
	for i := range t.secret {
		t.secret[i] = rand.Uint64() | 1
	}
	return t
}

// hash returns 32 bits of hash, as the upper half. Short strings, which nearly all are, are mixed here; the secret keeps their collisions unknown to whoever
// writes the input.
func (t *textTable) hash(s string) uint64 {
	n := len(s)
	var a, b uint64
	switch {
	case n > 16:
		return maphash.String(t.seed, s) << 32
	case n >= 8:
		a, b = load64(s, 0), load64(s, n-8)
	case n >= 4:
		a, b = load32(s, 0), load32(s, n-4)
	case n > 0:
		a = uint64(s[0]) | uint64(s[n/2])<<8 | uint64(s[n-1])<<16
	}
	hi, lo := bits.Mul64(a^t.secret[0], b^t.secret[1]^uint64(n)<<56)
	hi, lo = bits.Mul64(hi^t.secret[1], lo^t.secret[0])
	return (hi ^ lo) << 32
}

func load64(s string, at int) uint64 {
	_ = s[at+7]
	return uint64(s[at]) | uint64(s[at+1])<<8 | uint64(s[at+2])<<16 | uint64(s[at+3])<<24 |
		uint64(s[at+4])<<32 | uint64(s[at+5])<<40 | uint64(s[at+6])<<48 | uint64(s[at+7])<<56
}

func load32(s string, at int) uint64 {
	_ = s[at+3]
	return uint64(s[at]) | uint64(s[at+1])<<8 | uint64(s[at+2])<<16 | uint64(s[at+3])<<24
}

// find returns the code of s, or the slot where it belongs.
func (t *textTable) find(s string, hash uint64) (code uint32, known bool, slot int) {
	mask := len(t.slots) - 1
	for slot = int(hash>>32) & mask; ; slot = (slot + 1) & mask {
		x := t.slots[slot]
		if x == 0 {
			return 0, false, slot
		}
		if (x^hash)>>32 == 0 {
			if code := uint32(x) - 1; t.at(code) == s {
				return code, true, slot
			}
		}
	}
}

// touch brings what find will look at into the cache. Loads that do not wait for one another are in flight together, where find alone would wait for three
// in a row, string by string.
func (t *textTable) touch(hashes []uint64) {
	var slots [rowtext.BatchRows]uint64
	mask := len(t.slots) - 1
	for i, h := range hashes {
		slots[i&(rowtext.BatchRows-1)] = t.slots[int(h>>32)&mask]
	}
	var starts [rowtext.BatchRows]uint32
	for i := range hashes {
		if code := uint32(slots[i&(rowtext.BatchRows-1)]); code > 1 {
			starts[i&(rowtext.BatchRows-1)] = t.ends[code-2]
		}
	}
	sum := byte(0)
	for i := range hashes {
		if at := int(starts[i&(rowtext.BatchRows-1)]); at < len(t.text) {
			sum += t.text[at]
		}
	}
	t.touched = sum
}

// code returns the code of s, a new one if need be.
func (t *textTable) code(s string) uint32 {
	hash := t.hash(s)
	code, known, slot := t.find(s, hash)
	if !known {
		code = t.add(s, slot, hash)
	}
	return code
}

// add appends a string that find has not found.
func (t *textTable) add(s string, slot int, hash uint64) uint32 {
	code := uint32(len(t.ends))
	t.text = append(t.text, s...)
	t.ends = append(t.ends, uint32(len(t.text)))
	t.slots[slot] = hash | uint64(code+1)
	if len(t.ends)*2 > len(t.slots) {
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
	start := uint32(0)
	if code > 0 {
		start = t.ends[code-1]
	}
	return unsafe.String(unsafe.SliceData(t.text[start:]), int(t.ends[code]-start))
}

func (t *textTable) len() int { return len(t.ends) }

// strings appends all strings in the order of their codes. They are valid until the next reset.
func (t *textTable) strings(dst []string) []string {
	start := uint32(0)
	for _, end := range t.ends {
		dst = append(dst, unsafe.String(unsafe.SliceData(t.text[start:]), int(end-start)))
		start = end
	}
	return dst
}

// reset empties the table and keeps its memory.
func (t *textTable) reset() {
	clear(t.slots)
	t.ends, t.text = t.ends[:0], t.text[:0]
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
	var hashes [rowtext.BatchRows]uint64
	out = out[:min(len(out), rowtext.BatchRows)]
	if c.state == codesClosed {
		clear(out)
		return
	}
	for i := range out {
		hashes[i] = c.table.hash(values[i*fields].Str)
	}
	if len(c.table.slots) > nearSlots {
		c.table.touch(hashes[:len(out)])
	}
	for i := range out {
		out[i] = 0
		if v := &values[i*fields]; v.Valid && len(v.Str) <= maxCoded {
			out[i] = c.code(v.Str, hashes[i])
		}
	}
}

// nearSlots is up to how many slots a table is in a near cache anyway.
const nearSlots = 2048

func (c *textCodes) code(s string, hash uint64) uint32 {
	c.asked++
	code, known, slot := c.table.find(s, hash)
	switch n, cost := c.table.len(), len(s)+4+16; { // two slots on the average, and as much while they are moved
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
		return c.table.add(s, slot, hash) + 1
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
