package vec

import "math"

// fma is the fused multiply-add of IEEE 754 for float32: a*b+c rounded once.
//
// The product of two float32 is exact in float64, so one rounding happens in the sum and a second one in the conversion. The second goes wrong only
// when the first has landed exactly half-way between two float32; then, and among subnormal results where half-way points lie elsewhere, the
// sum is corrected to odd (Boldo and Melquiond, 2008), which makes the second rounding right.
func fma(a, b, c float32) float32 {
	p, d := float64(a)*float64(b), float64(c)
	s := p + d
	if delicate(s) {
		s = oddSum(p, d, s)
	}
	return float32(s)
}

// delicate reports whether rounding s to float32 may need to know what an earlier rounding has cut off.
func delicate(s float64) bool {
	bits := math.Float64bits(s)
	return bits&(1<<29-1) == 1<<28 || bits>>52&0x7ff <= 1023-127
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

// axpyGeneric is fma over two slices, written out because the compiler does not inline fma into the loop.
func axpyGeneric(a float32, x, y []float32) {
	y = y[:len(x)]
	for i, v := range x {
		p, d := float64(a)*float64(v), float64(y[i])
		s := p + d
		if delicate(s) {
			s = oddSum(p, d, s)
		}
		y[i] = float32(s)
	}
}

func tileGeneric(c []float32, ldc int, l, r []float32, k int) {
	for i := range TileRows {
		row := c[i*ldc:][:TileCols]
		for t := range k {
			axpyGeneric(l[t*TileRows+i], r[t*TileCols:][:TileCols], row)
		}
	}
}

func gatherGeneric(dst, table []float32, row []int32, val []float32) {
	var sum [2][TileCols]float32
	for t, r := range row {
		axpyGeneric(val[t], table[int(r)*TileCols:][:TileCols], sum[t&1][:])
	}
	for j := range dst[:TileCols] {
		dst[j] += sum[0][j] + sum[1][j]
	}
}
