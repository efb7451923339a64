package vec

// NarrowCols is the width of the rows that GatherNarrow adds.
const NarrowCols = 8

// GatherNarrow sets dst to the sum of selected rows of a table of NarrowCols columns: with four chains that are zero at first,
//
//	chain[t%4][j] = fma(val[t], table[row[t]*NarrowCols+j], chain[t%4][j])   for t = 0, 1, 2, ...
//	dst[j]        = (chain[0][j] + chain[1][j]) + (chain[2][j] + chain[3][j])
//
// A narrow table of many rows fits into the second-level cache. Every row must lie inside the table: the caller vouches for it.
func GatherNarrow(dst *[NarrowCols]float32, table []float32, row []int32, val []float32) {
	if len(row) == 0 {
		clear(dst[:])
		return
	}
	_ = val[len(row)-1]
	gatherNarrow(dst, table, row, val)
}

func gatherNarrowGeneric(dst *[NarrowCols]float32, table []float32, row []int32, val []float32) {
	var chain [4][NarrowCols]float32
	for t, r := range row {
		axpyGeneric(val[t], table[int(r)*NarrowCols:][:NarrowCols], chain[t&3][:])
	}
	for j := range dst {
		left, right := chain[0][j]+chain[1][j], chain[2][j]+chain[3][j]
		dst[j] = left + right
	}
}
