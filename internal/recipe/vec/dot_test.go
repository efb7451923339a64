package vec

import (
	"math/rand/v2"
	"testing"
)

func TestDotGivesTheSameBitsInEveryBody(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 5))
	saved := chosen
	defer func() { chosen = saved }()
	for range 200 {
		n := DotLanes * rng.IntN(6)
		x, y := awkward(rng, n), awkward(rng, n)
		chosen = generic
		want := Dot(x, y)
		for _, b := range bodies() {
			chosen = b
			if got := Dot(x, y); !sameBits([]float32{got}, []float32{want}) {
				t.Fatalf("%s: %g, want %g", b.name, got, want)
			}
		}
	}
	if got := Dot(make([]float32, 0), nil); got != 0 {
		t.Errorf("of nothing: %g", got)
	}
	x := make([]float32, 64)
	for i := range x {
		x[i] = float32(i)
	}
	if got := Dot(x, x); got != 85344 {
		t.Errorf("sum of squares below 64: %g", got)
	}
}
