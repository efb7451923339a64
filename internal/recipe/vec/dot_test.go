package vec

import (
	"math/rand/v2"
	"testing"
)

func TestDotBytesIsExactInEveryBody(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 5))
	saved := chosen
	defer func() { chosen = saved }()
	for range 200 {
		n := DotLanes * rng.IntN(9)
		x, y := make([]int8, n), make([]int8, n)
		want := int32(0)
		for i := range x {
			x[i], y[i] = int8(rng.IntN(256)-128), int8(rng.IntN(256)-128)
			want += int32(x[i]) * int32(y[i])
		}
		for _, b := range bodies() {
			if chosen = b; DotBytes(x, y) != want {
				t.Fatalf("%s: %d, want %d", b.name, DotBytes(x, y), want)
			}
		}
	}
}
