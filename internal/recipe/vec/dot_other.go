//go:build !amd64

package vec

func dotRows(dst []int32, x, table []int8, row []int32) { dotRowsGeneric(dst, x, table, row) }
