package vec

func gatherNarrow(dst *[NarrowCols]float32, table []float32, row []int32, val []float32) {
	if chosen.name == generic.name {
		gatherNarrowGeneric(dst, table, row, val)
		return
	}
	gather8(&dst[0], &table[0], &row[0], &val[0], len(row))
}

//go:noescape
func gather8(dst, table *float32, row *int32, val *float32, n int)
