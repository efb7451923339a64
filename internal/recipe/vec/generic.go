package vec

import "math"

// fma is the fused multiply-add of IEEE 754 for float32: a*b+c rounded once.
//
// The product of two float32 is exact in float64, so one rounding happens in the sum and a second one in the conversion. The second goes wrong only when
// the first has landed exactly half-way between two float32; then, and among subnormal results where half-way points lie elsewhere, the
// sum is corrected to odd (Boldo and Melquiond, 2008), which makes the second rounding right.
func fma(a, b, c float32) float32 {
	p, d := float64(a)*float64(b), float64(c)
	s := p + d
	bits := math.Float64bits(s)
	if bits&(1<<29-1) != 1<<28 && bits>>52&0x7ff > 1023-127 {
		return float32(s)
	}
	return float32(oddSum(p, d, s))
}

// oddSum is p+d rounded to odd, where s is p+d rounded to even.
func oddSum(p, d, s float64) float64 {
	t := s - p
	low := (p - (s - t)) + (d - t) // the exact error of s
	bits := math.Float64bits(s)
	if low == 0 || bits&1 == 1 {
		return s
	}
	if (low > 0) == (s > 0) {
		return math.Float64frombits(bits + 1)
	}
	return math.Float64frombits(bits - 1)
}

func tileGeneric(c []float32, ldc int, l, r []float32, k int) {
	for i := range TileRows {
		row := c[i*ldc:][:TileCols]
		for t := range k {
			a := l[t*TileRows+i]
			for j, b := range r[t*TileCols:][:TileCols] {
				row[j] = fma(a, b, row[j])
			}
		}
	}
}

func axpyGeneric(a float32, x, y []float32) {
	for i, v := range x {
		y[i] = fma(a, v, y[i])
	}
}

func gatherGeneric(dst, table []float32, row []int32, val []float32) {
	var sum [2][TileCols]float32
	for t, r := range row {
		acc := &sum[t&1]
		for j, v := range table[int(r)*TileCols:][:TileCols] {
			acc[j] = fma(val[t], v, acc[j])
		}
	}
	for j := range dst[:TileCols] {
		dst[j] += sum[0][j] + sum[1][j]
	}
}
