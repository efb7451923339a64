package recipe

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

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
const situationDoubt = 10

// situations are the counts of one context column.
type situations struct {
	name   string
	values []string // sorted
	counts rowsOf   // by value: n_li, items ascending
	head   rowsOf   // by value: the items with the most users there, best first, without counts
	total  []int32  // n_i
	all    int64    // sum of total
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
	var pairs []uint64 // value and item: one for each user who had the item there
	for u := range in.ev.Users {
		if !use(u) {
			continue
		}
		from := len(pairs)
		for at := in.ev.Offsets[u]; at < in.ev.Offsets[u+1]; at++ {
			if v := c.Code[at]; v >= 0 {
				pairs = append(pairs, uint64(v)<<32|uint64(in.ev.Item[at]))
			}
		}
		slices.Sort(pairs[from:])
		pairs = pairs[:from+len(slices.Compact(pairs[from:]))]
	}
	slices.Sort(pairs)
	s.counts.offsets, s.head.offsets = make([]int64, 1, len(c.Levels)+1), make([]int64, 1, len(c.Levels)+1)
	at := 0
	for v := range c.Levels {
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
			if v, ok := slices.BinarySearch(c.values, value); ok {
				all = append(all, c.at(v)...)
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
		s := situations{name: m.ev.Context[k].Name, values: m.ev.Context[k].Levels}
		var errs [6]error
		s.counts.offsets, errs[0] = array[int64](m.mapping, of+".offsets")
		s.counts.item, errs[1] = array[int32](m.mapping, of+".item")
		s.counts.count, errs[2] = array[int32](m.mapping, of+".count")
		s.head.offsets, errs[3] = array[int64](m.mapping, of+".head.offsets")
		s.head.item, errs[4] = array[int32](m.mapping, of+".head.item")
		s.total, errs[5] = array[int32](m.mapping, of+".total")
		if err := errors.Join(errs[:]...); err != nil {
			return err
		}
		for _, n := range s.total {
			s.all += int64(n)
		}
		m.contexts = append(m.contexts, s)
	}
	return nil
}
