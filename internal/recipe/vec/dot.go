package vec

// DotLanes is what the lengths of the vectors of DotBytes must be a multiple of.
const DotLanes = 32

// DotBytes is the inner product of x and y, exactly; their length is a multiple of DotLanes and at most 2¹⁷.
func DotBytes(x, y []int8) int32 {
	if len(x) == 0 {
		return 0
	}
	_ = y[len(x)-1]
	return dotBytes(x, y)
}

func dotBytesGeneric(x, y []int8) (sum int32) {
	for i, v := range x {
		sum += int32(v) * int32(y[i])
	}
	return sum
}
