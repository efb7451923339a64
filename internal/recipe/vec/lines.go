package vec

import "math"

// The kernels of this file work on an array of sums, one for each item, in lines: Line elements that follow each other, as many as a line of the cache holds. Which lines
// a request has to do with is a list of their numbers, each once, all inside the arrays: the caller vouches for it. What nothing was added to is NotAdded as long as
// sums are added up, and Nothing afterwards.
const Line = 16

// NotAdded is the sum of nothing: the negative zero, which changes no number that it is added to. Nothing is minus infinity.
var (
	NotAdded = math.Float32frombits(notAddedBits)
	Nothing  = math.Float32frombits(nothingBits)
)

const (
	notAddedBits = 1 << 31
	nothingBits  = 0xff800000
)

// Row is a sparse row of a matrix. The items differ from each other.
type Row struct {
	Item  []int32
	Value []float32
}

// SparseAdd adds a row with a weight: sum[i] += w·v + 0, rounded after the product and after the sum. The 0 makes a positive zero of a negative one, so that nothing that
// was added to is NotAdded. The items are inside sum: the caller vouches for it. If marks is not nil, those of the lines of the items become 1. The row that is next
// is only fetched from memory.
func SparseAdd(sum []float32, marks []uint8, r Row, w float32, next Row) {
	if len(r.Item) == 0 {
		return
	}
	_ = r.Value[len(r.Item)-1]
	sparseAdd(sum, marks, r, w, next)
}

func sparseAddGeneric(sum []float32, marks []uint8, r Row, w float32) {
	for k, i := range r.Item {
		sum[i] += float32(w*r.Value[k]) + 0
		if marks != nil {
			marks[i/Line] = 1
		}
	}
}

// Finish ends the adding up: it adds the priors to what something was added to, and makes Nothing of all else. If gain is not nil, it becomes what a sum is above its
// prior, and 0 where there is Nothing.
func Finish(sum, gain, prior []float32, lines []int32) {
	if len(lines) > 0 {
		finish(sum, gain, prior, lines)
	}
}

func finishGeneric(sum, gain, prior []float32, lines []int32) {
	for _, l := range lines {
		from, to := int(l)*Line, int(l)*Line+Line
		for i := from; i < to; i++ {
			v, g := sum[i]+prior[i], float32(0)
			if math.Float32bits(sum[i]) == notAddedBits {
				v = Nothing
			} else {
				g = v - prior[i]
			}
			sum[i] = v
			if gain != nil {
				gain[i] = g
			}
		}
	}
}

// Keep copies the lines to the beginning of dst, one after the other, with Nothing in the place of the elements of src without a bit in bits, which are numbered from the
// least of each word on.
func Keep(dst, src []float32, bits []uint64, lines []int32) {
	if len(lines) > 0 {
		_ = dst[len(lines)*Line-1]
		keep(dst, src, bits, lines)
	}
}

func keepGeneric(dst, src []float32, bits []uint64, lines []int32) {
	for n, l := range lines {
		for k, v := range src[int(l)*Line:][:Line] {
			if i := int(l)*Line + k; bits[i/64]>>(i%64)&1 == 0 {
				v = Nothing
			}
			dst[n*Line+k] = v
		}
	}
}

// PeakGroups is how many maxima Peaks finds.
const PeakGroups = 8 * Line

// Peaks shares the elements out to groups and returns the greatest of each, Nothing for a group without any. As no element is in two groups, the n-th greatest of the
// peaks is not above the n-th greatest of the elements.
func Peaks(v []float32, lines []int32) (peaks [PeakGroups]float32) {
	for g := range peaks {
		peaks[g] = Nothing
	}
	if len(lines) > 0 {
		findPeaks(&peaks, v, lines)
	}
	return peaks
}

func findPeaksGeneric(peaks *[PeakGroups]float32, v []float32, lines []int32) {
	for n, l := range lines {
		group := peaks[n%8*Line:][:Line]
		for k, x := range v[int(l)*Line:][:Line] {
			group[k] = max(group[k], x)
		}
	}
}

// Count is how many of the peaks are least or more.
func Count(peaks *[PeakGroups]float32, least float32) int { return count(peaks, least) }

func countGeneric(peaks *[PeakGroups]float32, least float32) (n int) {
	for _, x := range peaks {
		if x >= least {
			n++
		}
	}
	return n
}

// Reaching finds the first of the lines that has an element of least or more: its place among them, and a bit for each such element. Without one it returns len(lines).
func Reaching(v []float32, lines []int32, least float32) (at int, high uint32) {
	if len(lines) == 0 {
		return 0, 0
	}
	return reaching(v, lines, least)
}

func reachingGeneric(v []float32, lines []int32, least float32) (at int, high uint32) {
	for n, l := range lines {
		for k, x := range v[int(l)*Line:][:Line] {
			if x >= least {
				high |= 1 << k
			}
		}
		if high != 0 {
			return n, high
		}
	}
	return len(lines), 0
}

// Odd is v where that is floor or more, and ever smaller but positive below; of Nothing it is 0. floor must be positive.
func Odd(v, floor float64) float64 {
	if v >= floor {
		return v
	}
	return floor / (2 - v/floor)
}

// Odds adds up what Odd makes of the elements.
func Odds(v []float32, lines []int32, floor float64) float64 {
	var sum [8]float64 // each of every eighth element
	if len(lines) > 0 {
		odds(&sum, v, lines, floor)
	}
	return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]))
}

func oddsGeneric(sum *[8]float64, v []float32, lines []int32, floor float64) {
	for _, l := range lines {
		for k, x := range v[int(l)*Line:][:Line] {
			sum[k%8] += Odd(float64(x), floor)
		}
	}
}

// Fill sets all elements of the lines.
func Fill(dst []float32, lines []int32, v float32) {
	if len(lines) > 0 {
		fill(dst, lines, v)
	}
}

func fillGeneric(dst []float32, lines []int32, v float32) {
	for _, l := range lines {
		for k := range Line {
			dst[int(l)*Line+k] = v
		}
	}
}
