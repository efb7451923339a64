package recipe

import (
	"math"
	"math/bits"
	"slices"

	"github.com/palate-dev/palate/internal/recipe/vec"
)

// before orders by relevance, ties by item.
func before(a, b ranked) int {
	switch {
	case b.worse(a):
		return -1
	case a.worse(b):
		return 1
	}
	return 0
}

// worse reports whether r comes after another in a list.
func (r ranked) worse(than ranked) bool {
	return r.relevance < than.relevance || r.relevance == than.relevance && r.item > than.item
}

// key is a number that is the smaller, the earlier r stands in a list: before in one comparison.
func (r ranked) key() packed {
	bits := math.Float32bits(r.relevance + 0) // of the two zeros the positive one
	if bits>>31 == 0 {
		bits ^= math.MaxInt32 // the greater a positive number, the smaller its key; bits of negative ones are in this order already
	}
	return packed(bits)<<32 | packed(uint32(r.item))
}

// ranked is what the key is of.
func (p packed) ranked() ranked {
	bits := uint32(p >> 32)
	if bits>>31 == 0 {
		bits ^= math.MaxInt32
	}
	return ranked{int32(uint32(p)), math.Float32frombits(bits)}
}

// sortKeys sorts keys of ranked items.
func sortKeys(keys []packed) {
	sortByItem(keys) // by their upper half, which is the relevance
	for from, to := 0, 0; from < len(keys); from = to {
		for to = from + 1; to < len(keys) && keys[to]>>32 == keys[from]>>32; to++ {
		}
		slices.Sort(keys[from:to])
	}
}

// order sorts a list, best first.
func (s *scratch) order(list []ranked) {
	s.keys = s.keys[:0]
	for _, r := range list {
		s.keys = append(s.keys, r.key())
	}
	sortKeys(s.keys)
	for n, key := range s.keys {
		list[n] = key.ranked()
	}
}

// top is the n most relevant of the items with scores that exclude does not take out, best first. The result is valid until s is released.
func (k *ranker) top(s *scratch, n int, exclude func(item int32) bool) []ranked {
	s.top = s.top[:0]
	if n == 0 {
		return nil
	}
	if k.goal != nil {
		k.topByGoal(s, n, exclude)
		return s.top
	}
	if s.allowed == nil {
		s.best(s.sum, s.lines, n, exclude)
		return k.merge(s, n, exclude)
	}
	if need := len(s.lines) * vec.Line; len(s.kept) < need {
		s.kept = make([]float32, need)
	}
	vec.Keep(s.kept, s.sum, s.allowed, s.lines)
	s.best(s.kept, k.every[:len(s.lines)], n, nil)
	return k.merge(s, n, exclude)
}

// merge completes s.top, which has touched items, by those that are not and have a score by their priors.
func (k *ranker) merge(s *scratch, n int, exclude func(item int32) bool) []ranked {
	touched := s.top
	out := s.merged[:0]
	for _, i := range k.order[:k.scored] {
		r := ranked{i, k.prior[i]}
		if len(touched) == n && !touched[n-1].worse(r) {
			break // and no later one is better, either
		}
		if s.has(i) || exclude != nil && exclude(i) {
			continue
		}
		for len(touched) > 0 && len(out) < n && r.worse(touched[0]) {
			out, touched = append(out, touched[0]), touched[1:]
		}
		if len(out) == n {
			break
		}
		out = append(out, r)
	}
	if len(out) == 0 {
		return s.top
	}
	out = append(out, touched[:min(len(touched), n-len(out))]...)
	s.top, s.merged = out, s.top
	return s.top
}

// Peaks tell a floor of the best mostPeaks items at most, and if some of them may be taken out, sparePeaks more are looked at first.
const (
	mostPeaks  = vec.PeakGroups / 2
	sparePeaks = 16
)

// noFloor is a relevance that every touched item has.
const noFloor = -math.MaxFloat32

// best appends the n best touched items to s.top in order, without those that exclude takes out. Their values are in these lines of an array, which stand beside those of the
// request. It finds a floor that at least n items reach, and looks at these only; if too many of them are taken out, at all others.
func (s *scratch) best(values []float32, lines []int32, n int, exclude func(item int32) bool) {
	looked := n
	if exclude != nil {
		looked += sparePeaks
	}
	floor := float32(noFloor)
	if looked <= mostPeaks {
		peaks := vec.Peaks(values, lines)
		floor = max(noFloor, floorOf(&peaks, looked))
	}
	s.reaching(values, lines, floor, float32(math.Inf(1)), nil)
	s.take(n, exclude)
	if len(s.top) < n && floor > noFloor {
		s.reaching(values, lines, noFloor, floor, exclude)
		s.take(n, nil)
	}
}

// reaching sets s.keys to those of the touched items with values from floor to below, without those that exclude takes out; see best.
func (s *scratch) reaching(values []float32, lines []int32, floor, below float32, exclude func(item int32) bool) {
	s.keys = s.keys[:0]
	for at := 0; at < len(lines); at++ {
		next, high := vec.Reaching(values, lines[at:], floor)
		if at += next; high == 0 {
			return
		}
		of := values[int(lines[at])*vec.Line:][:vec.Line]
		for first := s.lines[at] * vec.Line; high != 0; high &= high - 1 {
			k := bits.TrailingZeros32(high)
			if i, v := first+int32(k), of[k]; v < below && (exclude == nil || !exclude(i)) {
				s.keys = append(s.keys, ranked{i, v}.key())
			}
		}
	}
}

// take moves the best of s.keys to s.top, until that has n.
func (s *scratch) take(n int, exclude func(item int32) bool) {
	for left := s.keys; len(left) > 0 && len(s.top) < n; {
		first := left
		if m := n - len(s.top) + sparePeaks; len(left) > 2*m {
			leastFirst(left, m)
			first = left[:m]
		}
		sortKeys(first)
		for _, key := range first {
			if r := key.ranked(); exclude == nil || !exclude(r.item) {
				if s.top = append(s.top, r); len(s.top) == n {
					return
				}
			}
		}
		left = left[len(first):]
	}
}

// floorOf is a number that at least n of the peaks reach, and not many more if the n-th greatest is above zero; noFloor if so many have none.
func floorOf(peaks *[vec.PeakGroups]float32, n int) float32 {
	most := vec.Nothing
	for _, p := range peaks {
		if p > most {
			most = p
		}
	}
	for high := most; high > most/(1<<12); high /= 2 {
		low := high / 2
		if vec.Count(peaks, low) < n {
			continue
		}
		for range 4 {
			middle := (low + high) / 2
			if vec.Count(peaks, middle) >= n {
				low = middle
			} else {
				high = middle
			}
		}
		return low
	}
	return noFloor
}

// leastFirst puts the n least keys first, in any order.
func leastFirst(keys []packed, n int) {
	low, high := 0, len(keys)-1
	for low < high {
		a, b, c := keys[low], keys[(low+high)/2], keys[high]
		pivot := max(min(a, b), min(max(a, b), c)) // the median
		i, j := low, high
		for i <= j {
			for keys[i] < pivot {
				i++
			}
			for keys[j] > pivot {
				j--
			}
			if i <= j {
				keys[i], keys[j] = keys[j], keys[i]
				i, j = i+1, j-1
			}
		}
		switch {
		case n-1 <= j:
			high = j
		case n-1 >= i:
			low = i
		default:
			return
		}
	}
}
