package recipe

import "math/bits"

// counter is a sparse row of sums of int64 that is read in ascending order and cleared in about the time that it took to fill: it notes which sums it
// has touched in a bitmap, and which words of that in another one.
type counter struct {
	sum   []int64
	words []uint64 // bit i%64 of word i/64: sum i may not be zero
	lines []uint64 // bit w%64 of line w/64: word w is not zero
	full  bool     // so many terms are to come that noting them is not worth while: all words are set
}

func newCounter(n int) *counter {
	words := (n + 63) / 64
	return &counter{sum: make([]int64, n), words: make([]uint64, words), lines: make([]uint64, (words+63)/64)}
}

// expect says how many terms are about to be added to an empty counter.
func (c *counter) expect(terms int) {
	if c.full = terms >= len(c.sum); !c.full {
		return
	}
	for w := range c.words {
		c.words[w] = ^uint64(0)
		c.lines[w/64] |= 1 << (w % 64)
	}
	if rest := len(c.sum) % 64; rest > 0 {
		c.words[len(c.words)-1] = 1<<rest - 1
	}
}

func (c *counter) add(item int32, v int64) {
	c.sum[item] += v
	if !c.full {
		w := uint32(item) / 64
		c.words[w] |= 1 << (uint32(item) % 64)
		c.lines[w/64] |= 1 << (w % 64)
	}
}

// each calls do for every item with a sum, in ascending order, and clears the counter.
func (c *counter) each(do func(item int32, sum int64)) {
	for l, line := range c.lines {
		for ; line != 0; line &= line - 1 {
			w := l*64 + bits.TrailingZeros64(line)
			for word := c.words[w]; word != 0; word &= word - 1 {
				i := w*64 + bits.TrailingZeros64(word)
				if sum := c.sum[i]; sum != 0 {
					do(int32(i), sum)
					c.sum[i] = 0
				}
			}
			c.words[w] = 0
		}
		c.lines[l] = 0
	}
	c.full = false
}
