package vec

func dotRows(dst []int32, x, table []int8, row []int32) {
	if chosen.name == generic.name {
		dotRowsGeneric(dst, x, table, row)
		return
	}
	dotRows256(&dst[0], &x[0], &table[0], &row[0], len(x), len(row))
}

//go:noescape
func dotRows256(dst *int32, x, table *int8, row *int32, n, rows int)
