package vec

import (
	"math/rand/v2"
	"testing"
)

func TestGatherNarrowIsTheSameInEveryBody(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	saved := chosen
	defer func() { chosen = saved }()
	const rows = 50
	for n := range 130 {
		table, val, row := awkward(rng, rows*NarrowCols), awkward(rng, n), make([]int32, n)
		for k := range row {
			row[k] = rng.Int32N(rows)
		}
		var chain [4][NarrowCols]float32
		for k, r := range row {
			for j := range chain[0] {
				chain[k%4][j] = fma(val[k], table[int(r)*NarrowCols+j], chain[k%4][j])
			}
		}
		want := make([]float32, NarrowCols)
		for j := range want {
			want[j] = (chain[0][j] + chain[1][j]) + (chain[2][j] + chain[3][j])
		}
		for _, b := range bodies() {
			chosen = b
			got := [NarrowCols]float32{7}
			if GatherNarrow(&got, table, row, val); !sameBits(got[:], want) {
				t.Fatalf("%s: %d rows: %v, want %v", b.name, n, got, want)
			}
		}
	}
}
