package vec

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"
)

func TestGramAndTimesUpper(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for _, rows := range []int{1, 7, gramRows, 2*gramRows + 5} {
		const n = 3 * TileCols
		v, u := awkward(rng, rows*n), make([]float32, n*n)
		for i := range n {
			copy(u[i*n+i:(i+1)*n], awkward(rng, n-i))
		}
		c := make([]float32, n*n)
		if err := Gram(context.Background(), c, v, n); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			for j := i; j < n; j++ {
				want := float32(0)
				for at := 0; at < len(v); at += n {
					want = fma(v[at+i], v[at+j], want)
				}
				if got := c[i*n+j]; math.Float32bits(got) != math.Float32bits(want) {
					t.Fatalf("%d rows: element %d, %d of the Gram matrix is %g, want %g", rows, i, j, got, want)
				}
			}
		}
		product := append([]float32(nil), v...)
		if err := TimesUpper(context.Background(), product, u, n); err != nil {
			t.Fatal(err)
		}
		for at, got := range product {
			want, j := float32(0), at%n
			for k := range j/TileCols*TileCols + TileCols {
				want = fma(v[at-j+k], u[k*n+j], want)
			}
			if math.Float32bits(got) != math.Float32bits(want) {
				t.Fatalf("%d rows: element %d of the product is %g, want %g", rows, at, got, want)
			}
		}
	}
}

func TestReachIsTheSameInEveryBody(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	saved := chosen
	defer func() { chosen = saved }()
	for range 1000 {
		v, floor := awkward(rng, TileCols), awkward(rng, TileCols)
		for j := range floor {
			floor[j] = float32(math.Abs(float64(floor[j])))
			switch rng.IntN(6) {
			case 0:
				floor[j] = float32(math.Inf(1))
			case 1:
				floor[j] = v[j]
			case 2:
				floor[j] = -v[j]
			}
		}
		want := uint32(0)
		for j := range v {
			if v[j] >= floor[j] || -v[j] >= floor[j] {
				want |= 1 << j
			}
		}
		for _, b := range bodies() {
			if chosen = b; Reach(v, floor) != want {
				t.Fatalf("%s: %b, want %b", b.name, Reach(v, floor), want)
			}
		}
	}
}
