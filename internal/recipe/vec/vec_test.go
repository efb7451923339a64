package vec

import (
	"context"
	"math"
	"math/big"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

// awkward yields numbers of very different sizes, zeros and subnormal numbers among them.
func awkward(rng *rand.Rand, n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		switch rng.IntN(8) {
		case 0: // stays zero
		case 1:
			out[i] = math.Float32frombits(rng.Uint32() & 0x807fffff) // subnormal
		case 2:
			out[i] = float32(rng.NormFloat64() * 1e-20)
		default:
			out[i] = float32(rng.NormFloat64() * math.Pow(10, float64(rng.IntN(7)-3)))
		}
	}
	return out
}

func sameBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

func TestFMARoundsOnce(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	check := func(a, b, c float32) {
		exact := new(big.Float).SetPrec(600).SetFloat64(float64(a) * float64(b)) // exact in float64
		exact.Add(exact, new(big.Float).SetFloat64(float64(c)))
		want, _ := exact.Float32()
		if got := fma(a, b, c); got != want {
			t.Fatalf("fma(%b, %b, %b) = %b, want %b", a, b, c, got, want)
		}
	}
	check(1+0x1p-23, 1+0x1p-23, 0x1p-60)
	check(1, 1+0x1p-23, 0x1p-24)           // half-way, exact: ties to even
	check(0x1p-24+0x1p-47, 1, 1)           // just above half-way
	check(0x1p-24, 1, 1+0x1p-23)           // half-way
	check(0x1.000002p0, 0x1p-24, 1)        // above half-way by less than float64 sees
	check(-0x1.000002p-60, 0x1p-60, 0x1p0) // product far below the sum
	check(0x1p-24, 1+0x1p-23, 1)
	for range 300_000 {
		v := awkward(rng, 3)
		check(v[0], v[1], v[2])
		half := math.Float32frombits(rng.Uint32()&0x007fffff | 0x3f800000)
		check(half, 0x1p-24*(1+float32(rng.IntN(3)-1)*0x1p-23), half) // around half-way points
	}
}

func TestEveryBodyGivesTheSameBits(t *testing.T) {
	for _, b := range bodies() {
		t.Run(b.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(3, 4))
			for _, k := range []int{1, 2, 3, 7, 64, 255} {
				const ldc = 48
				c, l, r := awkward(rng, TileRows*ldc), awkward(rng, k*TileRows), awkward(rng, k*TileCols)
				want := slices.Clone(c)
				b.tile(c, ldc, l, r, k)
				tileGeneric(want, ldc, l, r, k)
				if !sameBits(c, want) {
					t.Errorf("tile differs from the plain body at k=%d", k)
				}
			}
			for n := 1; n < 200; n++ {
				x, y := awkward(rng, n+1), awkward(rng, n+1)
				want := slices.Clone(y)
				a := awkward(rng, 1)[0]
				b.axpy(a, x[:n], y[:n])
				axpyGeneric(a, x[:n], want[:n])
				if !sameBits(y, want) {
					t.Errorf("axpy differs from the plain body at n=%d", n)
				}
			}
			for _, n := range []int{1, 2, 3, 4, 5, 100, 101} {
				table, dst := awkward(rng, 50*TileCols), awkward(rng, TileCols)
				rows, val, want := make([]int32, n), awkward(rng, n), slices.Clone(dst)
				for i := range rows {
					rows[i] = rng.Int32N(50)
				}
				b.gather(dst, table, rows, val)
				gatherGeneric(want, table, rows, val)
				if !sameBits(dst, want) {
					t.Errorf("gather differs from the plain body at n=%d", n)
				}
			}
		})
	}
}

// gram is a random positive definite matrix, upper part.
func gram(n int) *Symmetric {
	rng := rand.New(rand.NewPCG(5, uint64(n)))
	s := NewSymmetric(n)
	for i := range n {
		for j := i; j < n; j++ {
			s.A[i*s.Stride+j] = float32(rng.NormFloat64()) * 0.3
		}
		s.A[i*s.Stride+i] += float32(n)
	}
	return s
}

func full(s *Symmetric, i, j int) float64 {
	return float64(s.A[min(i, j)*s.Stride+max(i, j)])
}

func TestInverseTimesMatrixIsIdentity(t *testing.T) {
	for _, n := range []int{1, 5, 32, 33, 100, 256, 300, 530} {
		s, inv := gram(n), gram(n)
		if err := Invert(context.Background(), inv, nil); err != nil {
			t.Fatal(err)
		}
		for i := 0; i < n; i += max(1, n/37) {
			for j := 0; j < n; j += max(1, n/41) {
				sum, want := 0.0, 0.0
				for k := range n {
					sum += full(s, i, k) * full(inv, k, j)
				}
				if i == j {
					want = 1
				}
				if math.Abs(sum-want) > 1e-5 {
					t.Fatalf("n=%d: product at (%d, %d) is %v", n, i, j, sum)
				}
			}
		}
	}
}

func TestInverseDoesNotDependOnTheNumberOfCores(t *testing.T) {
	one, many := gram(400), gram(400)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	if err := Invert(context.Background(), one, nil); err != nil {
		t.Fatal(err)
	}
	runtime.GOMAXPROCS(7)
	if err := Invert(context.Background(), many, nil); err != nil {
		t.Fatal(err)
	}
	if !sameBits(one.A, many.A) {
		t.Error("one core and seven give different inverses")
	}
}

func TestInvertStopsWhenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := Invert(ctx, gram(64), nil); err != context.Canceled {
		t.Errorf("got %v", err)
	}
}

func TestColumnsReadBothSidesOfTheDiagonal(t *testing.T) {
	s := gram(70)
	table := make([]float32, s.Stride*TileCols)
	for c := 0; c < s.Stride; c += TileCols {
		s.Columns(table, c)
		for i := range s.N {
			for j := c; j < min(c+TileCols, s.N); j++ {
				if float64(table[i*TileCols+j-c]) != full(s, i, j) {
					t.Fatalf("column %d has a wrong row %d", j, i)
				}
			}
		}
	}
}
