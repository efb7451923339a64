package vec

import "math"

// Reach compares TileCols magnitudes: bit j of the answer is set if |v[j]| >= floor[j]. No element may be NaN.
func Reach(v, floor []float32) uint32 {
	_, _ = v[TileCols-1], floor[TileCols-1]
	return reach(v, floor)
}

func reachGeneric(v, floor []float32) (high uint32) {
	for j, f := range floor[:TileCols] {
		if math.Float32frombits(math.Float32bits(v[j])&math.MaxInt32) >= f {
			high |= 1 << j
		}
	}
	return high
}
