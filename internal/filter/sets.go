package filter

import (
	"slices"
	"sync"
)

// bitset has a bit for each candidate.
type bitset []uint64

func newBitset(n int) bitset { return make(bitset, (n+63)/64) }

func (b bitset) has(code int32) bool { return b[code>>6]>>(code&63)&1 == 1 }

func (b bitset) set(code int32) { b[code>>6] |= 1 << (code & 63) }

func (b bitset) put(code int32, on bool) {
	b[code>>6] &^= 1 << (code & 63)
	if on {
		b.set(code)
	}
}

func (b bitset) and(other bitset) {
	for i, w := range other {
		b[i] &= w
	}
}

func (b bitset) or(other bitset) {
	for i, w := range other {
		b[i] |= w
	}
}

func (b bitset) without(other bitset) {
	for i, w := range other {
		b[i] &^= w
	}
}

const (
	setBytes  = 64 << 20 // what the bit sets of one Columns may take
	setNames  = 4096     // how many tests and rules are known, most of them by name only
	setWanted = 2        // the use at which a rule gets its bit set: what comes once is asked candidate by candidate
)

// setCache remembers bit sets by the text of the test or rule that they are of. The caller of its methods holds the mutex of the columns: for correct to write,
// for the others at least to read, and until it is done with the bits.
type setCache struct {
	mu    sync.Mutex
	sets  map[string]*knownSet
	clock int64
	bytes int
}

// knownSet is a test or a rule that was asked for.
type knownSet struct {
	bits  bitset // nil as long as it is not worth one
	holds func(code int32) bool
	uses  int
	used  int64 // by the cache's clock
}

// rule returns the bit set of the candidates of which a disjunction of conjunctions of tests on records holds, nil as long as it is not worth one.
func (c *Columns) rule(where [][]check) bitset {
	var text []byte
	for i, conjunction := range where {
		if i > 0 {
			text = append(text, '|')
		}
		for k := range conjunction {
			text = append(conjunction[k].name(text), '&')
		}
	}
	c.sets.mu.Lock()
	defer c.sets.mu.Unlock()
	s := c.sets.known(text)
	if s.bits != nil || s.uses < setWanted {
		return s.bits
	}
	all := newBitset(c.n)
	for _, conjunction := range where {
		one := c.test(&conjunction[0])
		if len(conjunction) > 1 {
			one = append(bitset(nil), one...)
			for k := range conjunction[1:] {
				one.and(c.test(&conjunction[1+k]))
			}
		}
		all.or(one)
	}
	c.sets.keep(s, all, func(code int32) bool { return c.any(where, code) })
	return all
}

// test returns the bit set of one test. The caller holds the mutex of the sets.
func (c *Columns) test(k *check) bitset {
	s := c.sets.known(k.name(nil))
	if s.bits == nil {
		b := newBitset(c.n)
		c.fill(b, k)
		c.sets.keep(s, b, func(code int32) bool { return c.holds(k, code) })
	}
	return s.bits
}

// known counts a use of the set of that name.
func (c *setCache) known(name []byte) *knownSet {
	s := c.sets[string(name)]
	if s == nil {
		if c.sets == nil {
			c.sets = map[string]*knownSet{}
		}
		if len(c.sets) >= setNames {
			c.forget()
		}
		s = &knownSet{}
		c.sets[string(name)] = s
	}
	c.clock++
	s.uses, s.used = s.uses+1, c.clock
	return s
}

// keep gives a set its bits.
func (c *setCache) keep(s *knownSet, b bitset, holds func(code int32) bool) {
	s.bits, s.holds = b, holds
	if c.bytes += 8 * len(b); c.bytes > setBytes {
		c.forget()
	}
}

// forget drops the half of the sets that was not used for longest.
func (c *setCache) forget() {
	used := make([]int64, 0, len(c.sets))
	for _, s := range c.sets {
		used = append(used, s.used)
	}
	slices.Sort(used)
	for name, s := range c.sets {
		if s.used <= used[(len(used)-1)/2] {
			c.bytes -= 8 * len(s.bits)
			delete(c.sets, name)
		}
	}
}

// correct sets the bits of a candidate whose record has changed.
func (c *setCache) correct(code int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.sets {
		if s.bits != nil {
			s.bits.put(code, s.holds(code))
		}
	}
}
