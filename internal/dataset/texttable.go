package dataset

import (
	"hash/maphash"
	"unsafe"
)

// textTable gives each distinct string a code, in order of appearance, and keeps the strings back to back: looking up a string that is known touches a slot,
// its end and its bytes, which for the tens of thousands of keys of a run all stay in a core's own cache.
type textTable struct {
	seed  maphash.Seed
	slots []uint64 // open addressing: 0 is free, else hash<<32 | 1 + code
	ends  []uint32 // where each string ends in text
	text  []byte
}

const firstSlots = 64

func newTextTable() *textTable {
	return &textTable{seed: maphash.MakeSeed(), slots: make([]uint64, firstSlots)}
}

// find returns the code of s, or the slot where it belongs and the hash to put there.
func (t *textTable) find(s string) (code uint32, known bool, slot int, hash uint64) {
	hash = maphash.String(t.seed, s) << 32
	mask := len(t.slots) - 1
	for slot = int(hash>>32) & mask; ; slot = (slot + 1) & mask {
		x := t.slots[slot]
		if x == 0 {
			return 0, false, slot, hash
		}
		if (x^hash)>>32 == 0 {
			if code := uint32(x) - 1; t.at(code) == s {
				return code, true, slot, hash
			}
		}
	}
}

// code returns the code of s, a new one if need be.
func (t *textTable) code(s string) uint32 {
	code, known, slot, hash := t.find(s)
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
// repeated. It is bounded: a string that is long, or new when the budget is spent, or in a column of which most strings are new, has no code.
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
	judgedAfter = 1 << 16 // distinct strings after which a column must have shown that they repeat
)

func newTextCodes(budget *int) *textCodes { return &textCodes{table: newTextTable(), budget: budget} }

func (c *textCodes) code(s string) (code uint32, ok bool) {
	if c.state == codesClosed || len(s) > maxCoded {
		return 0, false
	}
	c.asked++
	code, known, slot, hash := c.table.find(s)
	if known {
		return code, true
	}
	if c.state == codesFull {
		return 0, false
	}
	cost := len(s) + 4 + 16 // two slots on the average, and as much while they are moved
	if *c.budget < cost {
		c.state = codesFull
		return 0, false
	}
	if n := c.table.len(); n >= judgedAfter && c.asked < 2*n {
		c.state = codesClosed
		return 0, false
	}
	*c.budget -= cost
	return c.table.add(s, slot, hash), true
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
