package recipe

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// What an item is, beside what was done with it: a sparse vector of unit length made of its attributes. The likeness of two items is the cosine of theirs,
// from 0 to 1.
//
// Every column is a block of the vector. A level of a categorical column or a word of a text weighs tf·idf, where idf = log2((n+1)/(df+½)) for n items of which
// df have the term, and tf = 1 + log2(occurrences) (Salton and Buckley 1988). A number is its place among the column's quantiles, spread over the nearest ones
// with weights that fall with the distance, so that near numbers overlap. Each block is scaled to the length √ω, ω being the usefulness of the column, and the
// whole to length one: an item that lacks a column is compared by the others.

// vectors holds one for each of the items that have attributes.
type vectors struct {
	offsets []int64   // by item
	term    []int32   // ascending within an item, and by rarity: the rarest first
	weight  []float32 // beside term
	terms   int
}

func (c *vectors) of(item int32) ([]int32, []float32) {
	from, to := c.offsets[item], c.offsets[item+1]
	return c.term[from:to], c.weight[from:to]
}

// likeness is the cosine of two items.
func (c *vectors) likeness(i, j int32) float32 {
	a, x := c.of(i)
	b, y := c.of(j)
	sum := float32(0)
	for p, q := 0, 0; p < len(a) && q < len(b); {
		switch {
		case a[p] < b[q]:
			p++
		case a[p] > b[q]:
			q++
		default:
			sum += float32(x[p] * y[q])
			p++
			q++
		}
	}
	return sum
}

// block is one column as vectors of unit length. Terms are the column's own.
type block struct {
	offsets []int64 // by row of the dataset
	term    []int32
	weight  []float32
	df      []int32 // of each term
}

// block makes the vectors of a column; ok is false for columns that say nothing about likeness.
func (c *Column) block(read func(text string, do func(term string))) (b *block, ok bool) {
	switch c.Kind {
	case Levels:
		b = &block{offsets: c.Start, term: c.Cell, weight: slices.Repeat([]float32{1}, len(c.Cell))}
		b.weigh(len(c.Level))
	case Number:
		b = c.quantiles()
	case Text, Title:
		b = c.bagOfWords(read)
	}
	return b, len(b.term) > 0
}

// bagOfWords counts the terms that read finds in each text.
func (c *Column) bagOfWords(read func(text string, do func(term string))) *block {
	code := map[string]int32{}
	var names []string
	b := &block{offsets: make([]int64, 1, len(c.Text)+1)}
	var row []int32
	for _, text := range c.Text {
		row = row[:0]
		read(text, func(term string) {
			t, ok := code[term]
			if !ok {
				term = strings.Clone(term)
				t = int32(len(names))
				code[term] = t
				names = append(names, term)
			}
			row = append(row, t)
		})
		slices.Sort(row)
		for at := 0; at < len(row); {
			end := at + 1
			for end < len(row) && row[end] == row[at] {
				end++
			}
			b.term = append(b.term, row[at])
			b.weight = append(b.weight, float32(1+log2(float64(end-at))))
			at = end
		}
		b.offsets = append(b.offsets, int64(len(b.term)))
	}
	b.weigh(len(names))
	return b
}

// weigh multiplies each weight by the rarity of its term and scales rows to length one. A term that only one row has says nothing about likeness: it is dropped.
func (b *block) weigh(terms int) {
	b.df = make([]int32, terms)
	for _, t := range b.term {
		b.df[t]++
	}
	idf := make([]float32, terms)
	rows := len(b.offsets) - 1
	for t, df := range b.df {
		if df > 1 {
			idf[t] = float32(log2(float64(rows+1) / (float64(df) + 0.5)))
		}
	}
	out := block{offsets: make([]int64, 1, rows+1), df: b.df, term: make([]int32, 0, len(b.term)), weight: make([]float32, 0, len(b.term))}
	for r := range rows {
		from := len(out.term)
		for at := b.offsets[r]; at < b.offsets[r+1]; at++ {
			if t := b.term[at]; idf[t] > 0 {
				out.term = append(out.term, t)
				out.weight = append(out.weight, float32(b.weight[at]*idf[t]))
			}
		}
		normalize(out.weight[from:])
		out.offsets = append(out.offsets, int64(len(out.term)))
	}
	*b = out
}

// normalize scales a vector to length one.
func normalize(v []float32) {
	sum := 0.0
	for _, x := range v {
		sum += float64(float64(x) * float64(x))
	}
	if sum == 0 {
		return
	}
	length := math.Sqrt(sum)
	for i := range v {
		v[i] = float32(float64(v[i]) / length)
	}
}

const (
	knots  = 16 // quantiles of a numeric column
	spread = 3  // how many quantiles away a number still counts
)

// quantiles makes each number its place among the quantiles of the column.
func (c *Column) quantiles() *block {
	var sorted []float64
	for _, n := range c.Number {
		if !math.IsNaN(n) && !math.IsInf(n, 0) {
			sorted = append(sorted, n)
		}
	}
	slices.Sort(sorted)
	var knot []float64
	for k := range knots {
		if len(sorted) > 0 {
			knot = append(knot, sorted[k*(len(sorted)-1)/(knots-1)])
		}
	}
	knot = slices.Compact(knot)
	b := &block{offsets: make([]int64, 1, len(c.Number)+1), df: make([]int32, len(knot))}
	for _, n := range c.Number {
		if from := len(b.term); !math.IsNaN(n) && !math.IsInf(n, 0) && len(knot) > 1 {
			place := placeAmong(knot, n)
			for k := range knot {
				distance := place - float64(k)
				if distance < 0 {
					distance = -distance
				}
				if distance < spread {
					b.term = append(b.term, int32(k))
					b.weight = append(b.weight, float32(1-distance/spread))
					b.df[k]++
				}
			}
			normalize(b.weight[from:])
		}
		b.offsets = append(b.offsets, int64(len(b.term)))
	}
	return b
}

// placeAmong is the index of n among ascending knots, with the share of the way to the next one.
func placeAmong(knot []float64, n float64) float64 {
	at, found := slices.BinarySearch(knot, n)
	if found || at == 0 {
		return float64(at)
	}
	if at == len(knot) {
		return float64(at - 1)
	}
	width := knot[at] - knot[at-1]
	if math.IsInf(width, 0) {
		return float64(at)
	}
	return float64(at-1) + (n-knot[at-1])/width
}

// log2 is the binary logarithm of x >= 1, rounded down to 2⁻²⁰. Unlike math.Log2 it has the same bits on every machine.
func log2(x float64) float64 {
	fraction, exponent := math.Frexp(x)
	x, whole := 2*fraction, float64(exponent-1)
	for bit := 0.5; bit >= 1.0/(1<<20); bit /= 2 {
		if x = float64(x * x); x >= 2 {
			x /= 2
			whole += bit
		}
	}
	return whole
}

// content makes the vectors of all items from the columns of the Items dataset that accept accepts. use says whose histories show which columns are useful;
// the result says of each column how useful it is, 0 for one that is in no vector.
func (in *input) content(accept func(*Column) bool, read func(string, func(string)), use func(u int) bool) (c *vectors, useful []float64) {
	var blocks []*block
	var columns []int
	if in.itemRows != nil {
		for i := range in.itemRows.Columns {
			if c := &in.itemRows.Columns[i]; accept(c) {
				if b, ok := c.block(read); ok {
					blocks, columns = append(blocks, b), append(columns, i)
				}
			}
		}
		useful = make([]float64, len(in.itemRows.Columns))
	}
	row := in.itemRow()
	of := in.usefulness(blocks, row, use)
	for b, i := range columns {
		useful[i] = of[b]
	}
	return combine(blocks, of, row), useful
}

// combine puts blocks side by side. row is each item's row, -1 for none.
func combine(blocks []*block, useful []float64, row []int32) *vectors {
	type named struct {
		block, term, df int32
	}
	var all []named
	for b, of := range blocks {
		for t, df := range of.df {
			if df > 0 {
				all = append(all, named{int32(b), int32(t), df})
			}
		}
	}
	slices.SortFunc(all, func(a, b named) int {
		return cmp.Or(cmp.Compare(a.df, b.df), cmp.Compare(a.block, b.block), cmp.Compare(a.term, b.term))
	})
	code := make([][]int32, len(blocks))
	for b, of := range blocks {
		code[b] = make([]int32, len(of.df))
	}
	for rank, n := range all {
		code[n.block][n.term] = int32(rank)
	}
	c := &vectors{offsets: make([]int64, 1, len(row)+1), terms: len(all)}
	var vector []entry
	for _, r := range row {
		vector = vector[:0]
		for b := 0; b < len(blocks) && r >= 0; b++ {
			of, scale := blocks[b], math.Sqrt(useful[b])
			for at := of.offsets[r]; at < of.offsets[r+1]; at++ {
				vector = append(vector, entry{code[b][of.term[at]], float32(scale * float64(of.weight[at]))})
			}
		}
		slices.SortFunc(vector, func(a, b entry) int { return cmp.Compare(a.item, b.item) })
		from := len(c.term)
		for _, v := range vector {
			c.term = append(c.term, v.item)
			c.weight = append(c.weight, v.value)
		}
		normalize(c.weight[from:])
		c.offsets = append(c.offsets, int64(len(c.term)))
	}
	return c
}

const (
	leastUse      = 0.05    // usefulness of a column that says nothing about what users take together
	doubt         = 100     // pairs of which a column must prove its use
	usefulPairs   = 200_000 // pairs that are looked at
	stridesPerRow = 4       // random partners of an item
)

// usefulness tells how much each column says about what users take together: the share by which neighbours in a history are more alike than items at random,
// ω = 1 − (likeness of random pairs) / (likeness of neighbours).
func (in *input) usefulness(blocks []*block, row []int32, use func(u int) bool) []float64 {
	together, apart := make([]int64, len(blocks)), make([]int64, len(blocks)) // in units of 2⁻¹⁶
	var pairs, others int64
	var warm []int32
	seen := make([]bool, len(row))
	stride := max(1, in.ev.Len()/usefulPairs)
	for u := range in.ev.Users {
		if !use(u) {
			continue
		}
		sampled := stride == 1 || draw(in.cfg.Seed, in.ev.Users[u])%uint64(stride) == 0
		for at := in.ev.Offsets[u]; at < in.ev.Offsets[u+1]; at++ {
			j := in.ev.Item[at]
			if row[j] < 0 {
				continue
			}
			if !seen[j] {
				seen[j] = true
				warm = append(warm, j)
			}
			if at == in.ev.Offsets[u] || !sampled {
				continue
			}
			if i := in.ev.Item[at-1]; i != j && row[i] >= 0 {
				pairs++
				for b := range blocks {
					together[b] += blocks[b].likeness(row[i], row[j])
				}
			}
		}
	}
	slices.Sort(warm)
	for _, i := range warm {
		for k := range uint64(stridesPerRow) {
			if j := warm[mix(uint64(i)<<8|k)%uint64(len(warm))]; i != j {
				others++
				for b := range blocks {
					apart[b] += blocks[b].likeness(row[i], row[j])
				}
			}
		}
	}
	useful := make([]float64, len(blocks))
	for b := range blocks {
		useful[b] = 1
		if pairs == 0 || others == 0 {
			continue
		}
		random := float64(apart[b]) / float64(others)
		near := (float64(together[b]) + float64(doubt*random)) / float64(pairs+doubt)
		if useful[b] = leastUse; near > 0 {
			useful[b] = max(leastUse, 1-random/near)
		}
	}
	return useful
}

// likeness is the cosine of two rows in units of 2⁻¹⁶.
func (b *block) likeness(i, j int32) int64 {
	sum := 0.0
	for p, q := b.offsets[i], b.offsets[j]; p < b.offsets[i+1] && q < b.offsets[j+1]; {
		switch {
		case b.term[p] < b.term[q]:
			p++
		case b.term[p] > b.term[q]:
			q++
		default:
			sum += float64(float64(b.weight[p]) * float64(b.weight[q]))
			p++
			q++
		}
	}
	return int64(sum * one)
}

// contentIndex finds the items that are most like an item, by posting lists: for each term the items that have it, the most popular first.
type contentIndex struct {
	*vectors
	start  []int64 // by term
	item   []int32
	weight []float32
	keep   int   // results of a search, at most
	effort int64 // entries of posting lists that a search reads
}

// A search reads so many entries of posting lists, those of the rarest terms first, and of a list that is longer than what is left of its effort the popular items:
// what is cut off are items that share nothing but what many have. Where so many items are searched for that this would take minutes, each search gets its share.
const (
	fullEffort  = 1 << 13
	leastEffort = 1 << 10
	allEffort   = 1 << 31 // of all searches together, as far as leastEffort allows
)

// newContentIndex builds the lists; order is that of the items in them, each once. There will be so many searches, each of which finds at most keep items.
func newContentIndex(c *vectors, order []int32, searches, keep int) *contentIndex {
	effort := min(fullEffort, max(leastEffort, allEffort/int64(max(1, searches))))
	x := &contentIndex{vectors: c, keep: keep, effort: effort, start: make([]int64, c.terms+1), item: make([]int32, len(c.term)), weight: make([]float32, len(c.term))}
	for _, t := range c.term {
		x.start[t+1]++
	}
	for t := range c.terms {
		x.start[t+1] += x.start[t]
	}
	next := slices.Clone(x.start[:c.terms])
	for _, i := range order {
		terms, weights := c.of(i)
		for at, t := range terms {
			x.item[next[t]], x.weight[next[t]] = i, weights[at]
			next[t]++
		}
	}
	return x
}

// contentSearch is the working memory of searches, for one goroutine.
type contentSearch struct {
	sum     []float32 // by item; zero between searches
	touched []int32
	query   []float32 // by term: the vector of the item whose likes are searched; zero between searches
	best    selection
}

// near returns the items that are most like item i, itself left out, by item.
func (x *contentIndex) near(i int32, s *contentSearch) []entry {
	if s.sum == nil {
		s.sum, s.query = make([]float32, len(x.offsets)-1), make([]float32, x.terms)
	}
	left, whole := x.effort, true
	terms, weights := x.of(i)
	for at, t := range terms {
		from, to := x.start[t], x.start[t+1]
		if to-from > left {
			to, whole = from+left, false
		}
		left -= to - from
		w := weights[at]
		for p := from; p < to; p++ {
			j := x.item[p]
			if s.sum[j] == 0 {
				s.touched = append(s.touched, j)
			}
			s.sum[j] += float32(w * x.weight[p])
		}
	}
	s.best = selection{keep: x.keep, kept: s.best.kept[:0]}
	for _, j := range s.touched {
		if j != i {
			s.best.offer(j, s.sum[j])
		}
		s.sum[j] = 0
	}
	s.touched = s.touched[:0]
	row := s.best.entries()
	if !whole {
		x.measure(i, row, s)
	}
	return row
}

// measure sets the values of entries to their likeness to item i: to what likeness says, but faster, as the vector of i is laid out once.
func (x *contentIndex) measure(i int32, row []entry, s *contentSearch) {
	terms, weights := x.of(i)
	for at, t := range terms {
		s.query[t] = weights[at]
	}
	for k := range row {
		sum := float32(0)
		of, weight := x.of(row[k].item)
		for at, t := range of {
			sum += float32(s.query[t] * weight[at])
		}
		row[k].value = sum
	}
	for _, t := range terms {
		s.query[t] = 0
	}
}
