//go:build !amd64

package vec

func sparseAdd(sum []float32, marks []uint8, r Row, w float32, _ Row) {
	sparseAddGeneric(sum, marks, r, w)
}
func finish(sum, gain, prior []float32, lines []int32)      { finishGeneric(sum, gain, prior, lines) }
func keep(dst, src []float32, bits []uint64, lines []int32) { keepGeneric(dst, src, bits, lines) }
func fill(dst []float32, lines []int32, v float32)          { fillGeneric(dst, lines, v) }
func findPeaks(peaks *[PeakGroups]float32, v []float32, lines []int32) {
	findPeaksGeneric(peaks, v, lines)
}
func odds(sum *[8]float64, v []float32, lines []int32, floor float64) {
	oddsGeneric(sum, v, lines, floor)
}
func reaching(v []float32, lines []int32, least float32) (at int, high uint32) {
	return reachingGeneric(v, lines, least)
}

func count(peaks *[PeakGroups]float32, least float32) int { return countGeneric(peaks, least) }
