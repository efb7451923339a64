package vec

// DotLanes is what the lengths of Dot's vectors must be a multiple of.
const DotLanes = 32

// Dot is the inner product of x and y, whose length is a multiple of DotLanes. Lane j sums the elements j, j+32, j+64, ... in this order, each by
// a fused multiply-add; then lanes are added in pairs, j and j+16, j and j+8, and so on down to one.
func Dot(x, y []float32) float32 {
	if len(x) == 0 {
		return 0
	}
	_ = y[len(x)-1]
	var half [DotLanes / 2]float32
	dot(&half, x, y)
	for n := len(half) / 2; n > 0; n /= 2 {
		for j := range n {
			half[j] += half[j+n]
		}
	}
	return half[0]
}

// dotGeneric leaves in half the sums of the lanes j and j+16.
func dotGeneric(half *[DotLanes / 2]float32, x, y []float32) {
	var lane [DotLanes]float32
	for at := 0; at < len(x); at += DotLanes {
		for j := range lane {
			lane[j] = fma(x[at+j], y[at+j], lane[j])
		}
	}
	for j := range half {
		half[j] = lane[j] + lane[j+DotLanes/2]
	}
}
