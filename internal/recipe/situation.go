package recipe

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"

	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/schema"
)

// What is likely in a situation. A value l of a context column, such as DEVICE = tv, multiplies the relevance of item i by
//
//	P(l | i) / P(l)   with   P(l | i) = (n_li + doubt · P(l)) / (n_i + doubt)
//
// which is Bayes' rule if, given the item, the situation does not depend on the user. Here n_li are the users who had the item at l, n_i those sums over all
// values, and P(l) the share of l in the whole. Counts of users, not of events, so that nobody decides by himself what people do on television. An item of which
// little is known keeps the relevance that it has.
//
// A numeric column counts by bins: the numbers up to situationBins quantiles, each user counting once for each number that he has, or each number by itself if there
// are no more of them than that.
const (
	situationDoubt = 10
	situationBins  = 8
)

// situations are the counts of one context column.
type situations struct {
	name    string
	numeric bool
	values  []string  // sorted; of a categorical column
	edge    []float64 // of a numeric one: a number is in bin b if b edges are not greater
	counts  rowsOf    // by value: n_li, items ascending
	head    rowsOf    // by value: the items with the most users there, best first, without counts
	total   []int32   // n_i
	all     int64     // sum of total
}

// rowsOf are sparse rows of counts.
type rowsOf struct {
	offsets []int64
	item    []int32
	count   []int32
}

func (r *rowsOf) of(row int) (from, to int64) { return r.offsets[row], r.offsets[row+1] }

// situation is one value of a request's context.
type situation struct {
	item, count, head []int32
	total             []int32
	share             float64 // P(l)
	column, value     string  // as the request has them
}

// factor is what the situation makes of an item's relevance.
func (s *situation) factor(item int32) float32 {
	n := int32(0)
	if at, ok := slices.BinarySearch(s.item, item); ok {
		n = s.count[at]
	}
	given := (float64(n) + float64(situationDoubt*s.share)) / (float64(s.total[item]) + situationDoubt)
	return float32(given / s.share)
}

// situate counts a context column over the users that use accepts.
func (in *input) situate(c *dataset.EventColumn, use func(u int) bool) situations {
	s := situations{name: c.Name, values: c.Levels, total: make([]int32, len(in.items))}
	value := func(level int32) uint64 { return uint64(level) }
	if c.Numeric {
		numbers := levelNumbers(c)
		s.numeric, s.values, s.edge = true, nil, in.contextEdges(c, numbers, use)
		bins := make([]uint64, len(numbers))
		for l, n := range numbers {
			bins[l] = uint64(binOf(s.edge, n))
		}
		value = func(level int32) uint64 { return bins[level] }
	}
	var pairs []uint64 // value and item: one for each user who had the item there
	for u := range in.ev.Users {
		if !use(u) {
			continue
		}
		from := len(pairs)
		for at := in.ev.Offsets[u]; at < in.ev.Offsets[u+1]; at++ {
			if v := c.Code[at]; v >= 0 {
				pairs = append(pairs, value(v)<<32|uint64(in.ev.Item[at]))
			}
		}
		slices.Sort(pairs[from:])
		pairs = pairs[:from+len(slices.Compact(pairs[from:]))]
	}
	slices.Sort(pairs)
	values := s.size()
	s.counts.offsets, s.head.offsets = make([]int64, 1, values+1), make([]int64, 1, values+1)
	at := 0
	for v := range values {
		first := len(s.counts.item)
		for at < len(pairs) && pairs[at]>>32 == uint64(v) {
			next := at
			for next < len(pairs) && pairs[next] == pairs[at] {
				next++
			}
			item := int32(uint32(pairs[at]))
			s.counts.item, s.counts.count = append(s.counts.item, item), append(s.counts.count, int32(next-at))
			s.total[item] += int32(next - at)
			at = next
		}
		s.counts.offsets = append(s.counts.offsets, int64(len(s.counts.item)))

		order := make([]int32, len(s.counts.item)-first)
		for k := range order {
			order[k] = int32(first + k)
		}
		slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(s.counts.count[b], s.counts.count[a]) })
		for _, k := range order[:min(len(order), rowEntries)] {
			s.head.item = append(s.head.item, s.counts.item[k])
		}
		s.head.offsets = append(s.head.offsets, int64(len(s.head.item)))
	}
	return s
}

// size is how many values the column has.
func (c *situations) size() int {
	if c.numeric {
		return len(c.edge) + 1
	}
	return len(c.values)
}

// find is the value that a request's text stands for.
func (c *situations) find(text string) (value int, ok bool) {
	if !c.numeric {
		return slices.BinarySearch(c.values, text)
	}
	n, err := strconv.ParseFloat(text, 64)
	return binOf(c.edge, n), err == nil && finite(n)
}

// levelNumbers are the numbers of a numeric column's levels.
func levelNumbers(c *dataset.EventColumn) []float64 {
	numbers := make([]float64, len(c.Levels))
	for l, text := range c.Levels {
		numbers[l], _ = strconv.ParseFloat(text, 64) // as dataset.NumberLevel wrote it
	}
	return numbers
}

// contextEdges are the edges of the bins of a numeric column.
func (in *input) contextEdges(c *dataset.EventColumn, numbers []float64, use func(u int) bool) []float64 {
	users, met := make([]int64, len(numbers)), make([]int32, len(numbers)) // by level: how many had it, and one more than who was counted last
	for u := range in.ev.Users {
		if !use(u) {
			continue
		}
		for at := in.ev.Offsets[u]; at < in.ev.Offsets[u+1]; at++ {
			if l := c.Code[at]; l >= 0 && met[l] != int32(u)+1 {
				met[l] = int32(u) + 1
				users[l]++
			}
		}
	}
	var order []int
	for l, n := range users {
		if n > 0 {
			order = append(order, l)
		}
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(numbers[a], numbers[b]) })
	sorted, weight := make([]float64, len(order)), make([]int64, len(order))
	for at, l := range order {
		sorted[at], weight[at] = numbers[l], users[l]
	}
	return quantileEdges(sorted, weight, situationBins)
}

// quantileEdges are the edges of at most so many bins of ascending numbers with weights: each number but the least if there are no more numbers than bins, else the
// quantiles that are greater than the least.
func quantileEdges(sorted []float64, weight []int64, bins int) (edges []float64) {
	if len(sorted) <= bins {
		return slices.Clone(sorted[min(1, len(sorted)):])
	}
	total := int64(0)
	for _, w := range weight {
		total += w
	}
	at, below := 0, int64(0) // the numbers before at weigh below
	for b := 1; b < bins; b++ {
		for at < len(sorted)-1 && below+weight[at] <= int64(b)*total/int64(bins) {
			below += weight[at]
			at++
		}
		if at > 0 && (len(edges) == 0 || sorted[at] > edges[len(edges)-1]) {
			edges = append(edges, sorted[at])
		}
	}
	return edges
}

// binOf is the bin of a number.
func binOf(edges []float64, n float64) int {
	return sort.Search(len(edges), func(b int) bool { return edges[b] > n })
}

// situations returns what a request's context says, column by column. Columns and values that were not in the training say nothing.
func (m *Model) situations(context map[string]string) (all []situation) {
	if len(context) == 0 {
		return nil
	}
	for k := range m.contexts {
		c := &m.contexts[k]
		for name, value := range context {
			if !schema.SameName(name, c.name) {
				continue
			}
			if v, ok := c.find(value); ok {
				for _, s := range c.at(v) {
					s.column, s.value = c.name, value
					all = append(all, s)
				}
			}
			break
		}
	}
	return all
}

// at is the situation of a value; none if no user who was trained on was ever in it.
func (c *situations) at(value int) []situation {
	from, to := c.counts.of(value)
	if from == to {
		return nil
	}
	s := situation{item: c.counts.item[from:to], count: c.counts.count[from:to], total: c.total}
	n := int64(0)
	for _, count := range s.count {
		n += int64(count)
	}
	s.share = float64(n) / float64(c.all)
	from, to = c.head.of(value)
	s.head = c.head.item[from:to]
	return []situation{s}
}

// situations writes the counts of all context columns over the users that use accepts; names and values of the columns are part of the input.
func (w *modelWriter) situations(in *input, use func(u int) bool) {
	for k := range in.ev.Context {
		s := in.situate(&in.ev.Context[k], use)
		of := fmt.Sprintf("context.%d", k)
		if in.ev.Context[k].Numeric {
			put(w, of+".edge", s.edge)
		}
		put(w, of+".offsets", s.counts.offsets)
		put(w, of+".item", s.counts.item)
		put(w, of+".count", s.counts.count)
		put(w, of+".head.offsets", s.head.offsets)
		put(w, of+".head.item", s.head.item)
		put(w, of+".total", s.total)
	}
}

func (m *Model) loadSituations() error {
	for k := range m.ev.Context {
		of := fmt.Sprintf("context.%d", k)
		c := &m.ev.Context[k]
		s := situations{name: c.Name, values: c.Levels}
		var errs [7]error
		if c.Numeric {
			s.numeric, s.values = true, nil
			s.edge, errs[6] = array[float64](m.mapping, of+".edge")
		}
		s.counts.offsets, errs[0] = array[int64](m.mapping, of+".offsets")
		s.counts.item, errs[1] = array[int32](m.mapping, of+".item")
		s.counts.count, errs[2] = array[int32](m.mapping, of+".count")
		s.head.offsets, errs[3] = array[int64](m.mapping, of+".head.offsets")
		s.head.item, errs[4] = array[int32](m.mapping, of+".head.item")
		s.total, errs[5] = array[int32](m.mapping, of+".total")
		if err := errors.Join(errs[:]...); err != nil {
			return err
		}
		if len(s.counts.offsets) != s.size()+1 || len(s.head.offsets) != s.size()+1 || len(s.total) != len(m.items) {
			return fmt.Errorf("open model: %w: counts of context column %d", ErrCorrupt, k)
		}
		for _, n := range s.total {
			s.all += int64(n)
		}
		m.contexts = append(m.contexts, s)
	}
	return nil
}
