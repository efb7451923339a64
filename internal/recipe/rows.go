package recipe

import (
	"context"
	"math"
	"slices"

	"github.com/palate-dev/palate/internal/recipe/vec"
)

// entry is one element of a sparse row.
type entry struct {
	item  int32
	value float32
}

// packed is an entry as one number: the item above the bits of the value, so that packed entries are in the order of their items.
type packed uint64

func pack(item int32, value float32) packed {
	return packed(item)<<32 | packed(math.Float32bits(value))
}

func (p packed) item() int32 { return int32(p >> 32) }

func (p packed) value() float32 { return math.Float32frombits(uint32(p)) }

// strength orders packed entries by magnitude, those of the same magnitude from the greatest item to the smallest. The bits of floats that are not
// negative are in the order of the floats.
func (p packed) strength() uint64 { return uint64(p)&math.MaxInt32<<32 | uint64(^uint32(p>>32)) }

func magnitude(v float32) float32 {
	if v < 0 {
		return -v
	}
	return v
}

// selection keeps the entries of largest magnitude, ties by smaller item: a set that does not depend on the order of the offers. It collects twice as many
// and then drops the weaker half.
type selection struct {
	keep  int // entries, at most
	kept  []packed
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

func (s *selection) offer(item int32, value float32) {
	if value != 0 && (value >= s.floor || -value >= s.floor) { // most offers fail here
		if len(s.kept) == 2*s.keep {
			s.prune()
		}
		s.kept = append(s.kept, pack(item, value))
	}
}

// prune drops all but the strongest keep entries, by quickselect (Hoare 1961).
func (s *selection) prune() {
	low, high := 0, len(s.kept) // what is before low is kept, what is from high on is dropped
	if high <= s.keep {
		return
	}
	for high-low > 1 {
		a, b, c := s.kept[low].strength(), s.kept[(low+high)/2].strength(), s.kept[high-1].strength()
		pivot := max(min(a, b), min(max(a, b), c)) // the median
		i, j := low, high-1
		for i <= j {
			for s.kept[i].strength() > pivot {
				i++
			}
			for s.kept[j].strength() < pivot {
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
	s.floor = magnitude(s.kept[0].value())
	for _, e := range s.kept[1:] {
		s.floor = min(s.floor, magnitude(e.value()))
	}
}

// ordered are those that are kept, by item. They are valid until the next offer.
func (s *selection) ordered() []packed {
	s.prune()
	sortByItem(s.kept)
	return s.kept
}

const radixLeast, radixMost = 48, 512 // entries that are sorted by digits

// sortByItem sorts entries of different items: by the digits of the items, the last digit first, where that is the fastest way.
func sortByItem(list []packed) {
	if len(list) < radixLeast || len(list) > radixMost {
		slices.Sort(list)
		return
	}
	var memory [radixMost]packed
	most := packed(0)
	for _, p := range list {
		most |= p
	}
	from, to := list, memory[:len(list)]
	for shift := 32; most>>shift != 0 || shift == 32; shift += 8 {
		var start [256]uint32
		for _, p := range from {
			start[uint8(p>>shift)]++
		}
		at := uint32(0)
		for digit, n := range start {
			start[digit] = at
			at += n
		}
		for _, p := range from {
			digit := uint8(p >> shift)
			to[start[digit]] = p
			start[digit]++
		}
		from, to = to, from
	}
	copy(list, from) // onto itself after an even number of digits
}

// entries are those that are kept, by item.
func (s *selection) entries() []entry {
	all := make([]entry, 0, min(len(s.kept), s.keep))
	for _, p := range s.ordered() {
		all = append(all, entry{p.item(), p.value()})
	}
	return all
}

// rows is a sparse matrix by rows, items ascending within a row.
type rows struct {
	offsets []int64
	item    []int32
	value   []float32
	core    int // rows that come of a dense inverse
}

func (r *rows) of(item int32) ([]int32, []float32) {
	from, to := r.offsets[item], r.offsets[item+1]
	return r.item[from:to], r.value[from:to]
}

// whole reports whether these are so many rows with items below a number: what vec.SparseAdd relies on.
func (r *rows) whole(rows, items int) bool {
	if len(r.offsets) != rows+1 || r.offsets[0] != 0 || r.offsets[rows] != int64(len(r.item)) || len(r.item) != len(r.value) || !slices.IsSorted(r.offsets) {
		return false
	}
	most := uint32(0) // of a negative number it is large
	for _, i := range r.item {
		most = max(most, uint32(i))
	}
	return len(r.item) == 0 || int64(most) < int64(items)
}

func (r *rows) empty(item int32) bool { return r.offsets[item] == r.offsets[item+1] }

// wanted are the items whose rows are asked for, nil for all.
type wanted []bool

func (w wanted) has(item int) bool { return w == nil || w[item] }

func flatten(best []selection) *rows {
	_ = vec.Parallel(context.Background(), len(best), func(i, _ int) { best[i].ordered() })
	r := &rows{offsets: make([]int64, len(best)+1)}
	for i := range best {
		r.offsets[i+1] = r.offsets[i] + int64(len(best[i].kept))
	}
	r.item, r.value = make([]int32, r.offsets[len(best)]), make([]float32, r.offsets[len(best)])
	_ = vec.Parallel(context.Background(), len(best), func(i, _ int) {
		for k, p := range best[i].kept {
			r.item[r.offsets[i]+int64(k)], r.value[r.offsets[i]+int64(k)] = p.item(), p.value()
		}
	})
	return r
}

// sums is a sparse row of float sums that is cleared in the time that it took to fill. Every sum is of its terms in the order of their coming.
type sums struct {
	sum     []float32
	known   []uint32 // all bits set for an item that something was added to
	touched []int32
}

// grow makes room for n items.
func (s *sums) grow(n int) {
	if len(s.sum) < n {
		s.sum, s.known = make([]float32, n), make([]uint32, n)
	}
}

func (s *sums) add(item int32, v float32) {
	if s.known[item] == 0 {
		s.known[item] = math.MaxUint32
		s.touched = append(s.touched, item)
	}
	s.sum[item] += v
}

// addKnown adds a row, with a weight, to what something was added to before. Which items that is cannot be guessed, so to the others it adds zero, without a branch.
func (s *sums) addKnown(row []packed, w float32) {
	known := s.known
	sum := s.sum[:len(known)]
	for _, e := range row {
		i := e.item()
		sum[i] += math.Float32frombits(math.Float32bits(w*e.value()) & known[i])
	}
}

// each calls do for every item that something was added to, in the order of their first terms, and clears the sums.
func (s *sums) each(do func(item int32, sum float32)) {
	for _, i := range s.touched {
		do(i, s.sum[i])
		s.sum[i], s.known[i] = 0, 0
	}
	s.touched = s.touched[:0]
}
