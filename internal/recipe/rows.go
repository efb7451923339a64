package recipe

import (
	"cmp"
	"context"
	"slices"

	"github.com/palate-dev/palate/internal/recipe/vec"
)

// entry is one element of a sparse row.
type entry struct {
	item  int32
	value float32
}

// selection keeps the entries of largest magnitude, ties by smaller item: a set that does not depend on the order of the offers. It collects twice as many
// and then drops the weaker half.
type selection struct {
	keep  int // entries, at most
	kept  []entry
	floor float32 // magnitude below which an offer has no chance any more
}

// newSelections makes n empty ones.
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
		if len(s.kept) == 2*s.keep {
			s.prune()
		}
		s.kept = append(s.kept, entry{item, value})
	}
}

// prune drops all but the strongest keep entries, by quickselect (Hoare 1961).
func (s *selection) prune() {
	low, high := 0, len(s.kept) // what is before low is kept, what is from high on is dropped
	if high <= s.keep {
		return
	}
	for high-low > 1 {
		a, b, c := s.kept[low], s.kept[(low+high)/2], s.kept[high-1]
		if weaker(b, a) {
			a, b = b, a
		}
		if weaker(c, b) {
			b = c
			if weaker(b, a) {
				b = a
			}
		}
		i, j := low, high-1
		for i <= j { // b, the median of three, is the pivot
			for weaker(b, s.kept[i]) {
				i++
			}
			for weaker(s.kept[j], b) {
				j--
			}
			if i <= j {
				s.kept[i], s.kept[j] = s.kept[j], s.kept[i]
				i, j = i+1, j-1
			}
		}
		if s.keep <= j {
			high = j + 1
		} else if s.keep > i {
			low = i
		} else {
			break
		}
	}
	s.kept = s.kept[:s.keep]
	s.floor = magnitude(s.kept[0].value)
	for _, e := range s.kept[1:] {
		s.floor = min(s.floor, magnitude(e.value))
	}
}

// entries are those that are kept, by item.
func (s *selection) entries() []entry {
	s.prune()
	slices.SortFunc(s.kept, func(a, b entry) int { return cmp.Compare(a.item, b.item) })
	return s.kept
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
	_ = vec.Parallel(context.Background(), len(best), func(i, _ int) { best[i].entries() })
	r := &rows{offsets: make([]int64, len(best)+1)}
	for i := range best {
		r.offsets[i+1] = r.offsets[i] + int64(len(best[i].kept))
	}
	r.item, r.value = make([]int32, r.offsets[len(best)]), make([]float32, r.offsets[len(best)])
	_ = vec.Parallel(context.Background(), len(best), func(i, _ int) {
		for k, e := range best[i].kept {
			r.item[r.offsets[i]+int64(k)], r.value[r.offsets[i]+int64(k)] = e.item, e.value
		}
	})
	return r
}
