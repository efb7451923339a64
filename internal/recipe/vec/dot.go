package vec

// DotLanes is what the lengths of the vectors of DotRows must be a multiple of.
const DotLanes = 32

// DotRows sets dst[k] to the inner product of x with row row[k] of a table whose rows are as long as x, exactly. That length is a multiple of DotLanes and at most
// 2¹⁷, and no element is -128. Every row must lie inside the table: the caller vouches for it.
func DotRows(dst []int32, x, table []int8, row []int32) {
	if len(row) == 0 {
		return
	}
	_ = dst[len(row)-1]
	if len(x) == 0 {
		clear(dst[:len(row)])
		return
	}
	dotRows(dst, x, table, row)
}

func dotRowsGeneric(dst []int32, x, table []int8, row []int32) {
	for k, r := range row {
		sum := int32(0)
		for i, v := range table[int(r)*len(x):][:len(x)] {
			sum += int32(x[i]) * int32(v)
		}
		dst[k] = sum
	}
}
