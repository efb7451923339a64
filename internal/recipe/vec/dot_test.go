package vec

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestDotRowsIsExactInEveryBody(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 5))
	saved := chosen
	defer func() { chosen = saved }()
	const items = 11
	for range 200 {
		n := DotLanes * rng.IntN(9)
		x, table := make([]int8, n), make([]int8, items*n)
		for i := range x {
			x[i] = int8(extreme(rng))
		}
		for i := range table {
			table[i] = int8(extreme(rng))
		}
		row, want := make([]int32, rng.IntN(6)), []int32{}
		for k := range row {
			row[k] = int32(rng.IntN(items))
			sum := int32(0)
			for i, v := range x {
				sum += int32(v) * int32(table[int(row[k])*n+i])
			}
			want = append(want, sum)
		}
		for _, b := range bodies() {
			got := slices.Repeat([]int32{7}, len(row))
			chosen = b
			DotRows(got, x, table, row)
			if !slices.Equal(got, want) {
				t.Fatalf("%s: %d, want %d", b.name, got, want)
			}
		}
	}
}

// extreme is mostly the least or the greatest element that there may be.
func extreme(rng *rand.Rand) int {
	switch rng.IntN(4) {
	case 0:
		return 127
	case 1:
		return -127
	}
	return rng.IntN(255) - 127
}
