//go:build !amd64

package vec

func gatherNarrow(dst *[NarrowCols]float32, table []float32, row []int32, val []float32) {
	gatherNarrowGeneric(dst, table, row, val)
}
