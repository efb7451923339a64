package recipe

import (
	"cmp"
	"slices"
)

// entry is one element of a sparse row.
type entry struct {
	item  int32
	value float32
}

// selection keeps the entries of largest magnitude, ties by smaller item: a set that does not depend on the order of the offers. It is a heap with the
// weakest entry at the root once it is full.
type selection struct {
	keep  int // entries, at most
	heap  []entry
	floor float32 // magnitude of the root once it is full
}

func newSelections(n, keep int) []selection {
	best := make([]selection, n)
	for i := range best {
		best[i].keep = keep
	}
	return best
}

// weaker orders entries from the first to be dropped to the last.
func weaker(a, b entry) bool {
	x, y := magnitude(a.value), magnitude(b.value)
	return x < y || x == y && a.item > b.item
}

func magnitude(v float32) float32 {
	if v < 0 {
		return -v
	}
	return v
}

func (s *selection) offer(item int32, value float32) {
	if value != 0 && (value >= s.floor || -value >= s.floor) { // most offers fail here
		s.take(entry{item, value})
	}
}

func (s *selection) take(e entry) {
	if len(s.heap) < s.keep {
		s.heap = append(s.heap, e)
		if len(s.heap) < s.keep {
			return
		}
		for i := s.keep/2 - 1; i >= 0; i-- {
			s.sink(i)
		}
	} else if weaker(s.heap[0], e) {
		s.heap[0] = e
		s.sink(0)
	}
	s.floor = magnitude(s.heap[0].value)
}

func (s *selection) sink(i int) {
	for {
		child := 2*i + 1
		if child >= len(s.heap) {
			return
		}
		if child+1 < len(s.heap) && weaker(s.heap[child+1], s.heap[child]) {
			child++
		}
		if !weaker(s.heap[child], s.heap[i]) {
			return
		}
		s.heap[i], s.heap[child] = s.heap[child], s.heap[i]
		i = child
	}
}

// rows is a sparse matrix by rows, items ascending within a row.
type rows struct {
	offsets []int64
	item    []int32
	value   []float32
}

func (r *rows) of(item int32) ([]int32, []float32) {
	from, to := r.offsets[item], r.offsets[item+1]
	return r.item[from:to], r.value[from:to]
}

func flatten(best []selection) *rows {
	r := &rows{offsets: make([]int64, 1, len(best)+1)}
	for i := range best {
		slices.SortFunc(best[i].heap, func(a, b entry) int { return cmp.Compare(a.item, b.item) })
		for _, e := range best[i].heap {
			r.item = append(r.item, e.item)
			r.value = append(r.value, e.value)
		}
		r.offsets = append(r.offsets, int64(len(r.item)))
	}
	return r
}
