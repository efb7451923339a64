package vec

import (
	"math"
	"unsafe"
)

// plain tells whether this machine has no vector code.
func plain() bool { return chosen.name == generic.name }

func sparseAdd(sum []float32, marks []uint8, r Row, w float32, next Row) {
	if plain() {
		sparseAddGeneric(sum, marks, r, w)
		return
	}
	item, value := unsafe.SliceData(r.Item), unsafe.SliceData(r.Value)
	nextItem, nextValue := item, value // fetching it again costs nothing
	if len(next.Item) > 0 {
		nextItem, nextValue = unsafe.SliceData(next.Item), unsafe.SliceData(next.Value)
	}
	if marks == nil {
		sparseAdd256(&sum[0], item, value, len(r.Item), w, nextItem, nextValue)
	} else {
		sparseAddMark256(&sum[0], item, value, len(r.Item), w, nextItem, nextValue, &marks[0])
	}
}

func finish(sum, gain, prior []float32, lines []int32) {
	if plain() {
		finishGeneric(sum, gain, prior, lines)
		return
	}
	finish256(&sum[0], unsafe.SliceData(gain), &prior[0], &lines[0], len(lines))
}

func keep(dst, src []float32, bits []uint64, lines []int32) {
	if plain() {
		keepGeneric(dst, src, bits, lines)
		return
	}
	keep256(&dst[0], &src[0], &bits[0], &lines[0], len(lines))
}

func findPeaks(peaks *[PeakGroups]float32, v []float32, lines []int32) {
	if plain() {
		findPeaksGeneric(peaks, v, lines)
		return
	}
	peaks256(peaks, &v[0], &lines[0], len(lines))
}

func count(peaks *[PeakGroups]float32, least float32) int {
	if plain() {
		return countGeneric(peaks, least)
	}
	return count256(peaks, least)
}

func reaching(v []float32, lines []int32, least float32) (at int, high uint32) {
	if plain() {
		return reachingGeneric(v, lines, least)
	}
	return reaching256(&v[0], &lines[0], len(lines), least)
}

func odds(sum *[8]float64, v []float32, lines []int32, floor float64) {
	if plain() {
		oddsGeneric(sum, v, lines, floor)
		return
	}
	least := float32(floor) // the least float32 that is not below floor
	if float64(least) < floor {
		least = math.Nextafter32(least, math.MaxFloat32)
	}
	odds256(sum, &v[0], &lines[0], len(lines), floor, least)
}

func fill(dst []float32, lines []int32, v float32) {
	if plain() {
		fillGeneric(dst, lines, v)
		return
	}
	fill256(&dst[0], &lines[0], len(lines), v)
}

// The assembly bodies. There is at least one item or line.

//go:noescape
func sparseAdd256(sum *float32, item *int32, value *float32, n int, w float32, nextItem *int32, nextValue *float32)

//go:noescape
func sparseAddMark256(sum *float32, item *int32, value *float32, n int, w float32, nextItem *int32, nextValue *float32, marks *uint8)

//go:noescape
func finish256(sum, gain, prior *float32, lines *int32, n int) // gain may be nil

//go:noescape
func keep256(dst, src *float32, bits *uint64, lines *int32, n int)

//go:noescape
func peaks256(peaks *[PeakGroups]float32, v *float32, lines *int32, n int)

//go:noescape
func count256(peaks *[PeakGroups]float32, least float32) int

//go:noescape
func reaching256(v *float32, lines *int32, n int, least float32) (at int, high uint32)

//go:noescape
func odds256(sum *[8]float64, v *float32, lines *int32, n int, floor float64, least float32)

//go:noescape
func fill256(dst *float32, lines *int32, n int, v float32)
