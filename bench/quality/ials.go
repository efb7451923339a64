package main

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/palate-dev/palate/internal/recipe/vec"
)

// ials is implicit alternating least squares (Hu et al. 2008) as Rendle et al. (2021) tune it: every user-item pair without an event has the weight
// unobserved and target 0, an event has weight 1 and target 1, and the regularisation of a vector grows with the number of its events and of the
// pairs without. Each vector is solved for exactly.
type ials struct {
	dimension  int // a multiple of vec.TileCols
	unobserved float64
	regular    float64
	epochs     int
	seed       uint64
}

func (m ials) lists(t *task, want []string) (map[string][]string, error) {
	c := code(t)
	d := m.dimension
	rng := rand.New(rand.NewPCG(m.seed, 3))
	users, items := make([]float32, len(c.byUser)*d), make([]float32, len(c.items)*d)
	for i := range items {
		items[i] = float32(rng.NormFloat64() * 0.1 / math.Sqrt(float64(d)))
	}
	for range m.epochs {
		m.solve(users, items, c.byUser)
		m.solve(items, users, c.byItem)
	}
	m.solve(users, items, c.byUser)
	columns := make([]float32, len(items)) // of all items, one dimension after the other
	for i := range c.items {
		for k, y := range items[i*d:][:d] {
			columns[k*len(c.items)+i] = y
		}
	}
	return c.rank(want, func(user int32, sum []float32, _ int) {
		if user < 0 {
			return
		}
		for k, x := range users[int(user)*d:][:d] {
			vec.Axpy(x, columns[k*len(c.items):][:len(c.items)], sum)
		}
	}), nil
}

// gathered is how many events of a row are added at a time.
const gathered = 256

// solve computes every row of x from the fixed y and the events of the row: with Y the vectors of the events,
//
//	x = (D + YᵀY)⁻¹ Yᵀ1
//
// where D holds what the row has in common with all others, and its ridge. solve turns the axes of y beforehand, which changes no product of an x and a y, so that D
// is a diagonal. Then a row of few events is a small system, D⁻¹Yᵀ (I + YD⁻¹Yᵀ)⁻¹ 1.
func (m ials) solve(x, y []float32, events [][]int32) {
	d := m.dimension
	squares := turn(y, d)
	spaces := make([]space, len(events)) // one per worker
	_ = vec.Parallel(context.Background(), len(events), func(row, worker int) {
		s := &spaces[worker]
		if s.a == nil {
			*s = space{a: make([]float32, d*d), b: make([]float32, d), common: make([]float32, d), left: make([]float32, d*gathered), right: make([]float32, d*gathered)}
		}
		ridge := m.regular * (float64(len(events[row])) + m.unobserved*float64(len(y)/d))
		for k := range s.common {
			s.common[k] = float32(m.unobserved*squares[k] + ridge)
		}
		if out := x[row*d:][:d]; len(events[row]) < d {
			s.few(out, y, events[row])
		} else {
			s.many(out, y, events[row])
		}
	})
}

// space is a worker's memory.
type space struct {
	common      []float32 // D
	a, b        []float32 // a system
	left, right []float32 // panels for vec.Tile
}

// few solves for the row of fewer events than dimensions.
func (s *space) few(out, y []float32, events []int32) {
	d, n := len(out), len(events)
	stride := (n + vec.TileCols - 1) / vec.TileCols * vec.TileCols
	a, b, left, right := s.a[:stride*stride], s.b[:n], s.left[:stride*d], s.right[:stride*d]
	clear(left)
	clear(right)
	clear(a)
	for k := range out {
		out[k] = float32(1 / math.Sqrt(float64(s.common[k])))
	}
	for t, e := range events {
		a[t*stride+t], b[t] = 1, 1
		for k, v := range y[int(e)*d:][:d] {
			left[(t/vec.TileRows*d+k)*vec.TileRows+t%vec.TileRows] = v * out[k]
			right[(t/vec.TileCols*d+k)*vec.TileCols+t%vec.TileCols] = v * out[k]
		}
	}
	for col := 0; col < n; col += vec.TileCols {
		for row := 0; row < min(n, col+vec.TileCols); row += vec.TileRows {
			vec.Tile(a[row*stride+col:], stride, left[row*d:], right[col*d:], d)
		}
	}
	cholesky(a, b, stride)
	clear(out)
	for t, e := range events {
		vec.Axpy(b[t], y[int(e)*d:][:d], out)
	}
	for k := range out {
		out[k] /= s.common[k]
	}
}

// many solves for any row.
func (s *space) many(out, y []float32, events []int32) {
	d := len(out)
	clear(s.a)
	clear(out)
	for k, v := range s.common {
		s.a[k*d+k] = v
	}
	for some := range slices.Chunk(events, gathered) {
		for t, e := range some {
			v := y[int(e)*d:][:d]
			vec.Axpy(1, v, out)
			for k := 0; k < d; k += vec.TileRows {
				copy(s.left[k*len(some)+t*vec.TileRows:], v[k:k+vec.TileRows])
			}
			for k := 0; k < d; k += vec.TileCols {
				copy(s.right[k*len(some)+t*vec.TileCols:], v[k:k+vec.TileCols])
			}
		}
		for col := 0; col < d; col += vec.TileCols {
			for row := 0; row < col+vec.TileCols; row += vec.TileRows {
				vec.Tile(s.a[row*d+col:], d, s.left[row*len(some):], s.right[col*len(some):], len(some))
			}
		}
	}
	cholesky(s.a, out, d)
}

// turn turns the axes of y, rows of d elements, so that its columns are orthogonal to each other, and returns their squares.
func turn(y []float32, d int) []float64 {
	gram := make([]float32, d*d)
	_ = vec.Gram(context.Background(), gram, y, d)
	a := make([]float64, d*d)
	for i := range d {
		for j := i; j < d; j++ {
			a[i*d+j], a[j*d+i] = float64(gram[i*d+j]), float64(gram[i*d+j])
		}
	}
	axes := jacobi(a, d)
	narrow := make([]float32, d*d)
	for k, v := range axes {
		narrow[k] = float32(v)
	}
	rows := len(y) / d
	turned := make([][]float32, rows) // one per worker
	_ = vec.Parallel(context.Background(), rows, func(row, worker int) {
		if turned[worker] == nil {
			turned[worker] = make([]float32, d)
		}
		sum, old := turned[worker], y[row*d:][:d]
		clear(sum)
		for k, v := range old {
			vec.Axpy(v, narrow[k*d:][:d], sum)
		}
		copy(old, sum)
	})
	squares := make([]float64, d)
	for k := range d {
		squares[k] = max(0, a[k*d+k])
	}
	return squares
}

// jacobi turns the symmetric d by d matrix a, full storage, into a diagonal one and returns the turn: column k of it is the eigenvector of the k-th value.
func jacobi(a []float64, d int) []float64 {
	axes := make([]float64, d*d)
	trace := 0.0
	for k := range d {
		axes[k*d+k] = 1
		trace += a[k*d+k]
	}
	for turned := true; turned; {
		turned = false
		for p := range d {
			for q := p + 1; q < d; q++ {
				off := a[p*d+q]
				if math.Abs(off) <= 1e-12*trace {
					continue
				}
				turned = true
				theta := (a[q*d+q] - a[p*d+p]) / (2 * off)
				tan := math.Copysign(1/(math.Abs(theta)+math.Hypot(theta, 1)), theta)
				cos := 1 / math.Hypot(tan, 1)
				sin := tan * cos
				for k := range d {
					x, y := a[k*d+p], a[k*d+q]
					a[k*d+p], a[k*d+q] = cos*x-sin*y, sin*x+cos*y
					x, y = axes[k*d+p], axes[k*d+q]
					axes[k*d+p], axes[k*d+q] = cos*x-sin*y, sin*x+cos*y
				}
				for k := range d {
					x, y := a[p*d+k], a[q*d+k]
					a[p*d+k], a[q*d+k] = cos*x-sin*y, sin*x+cos*y
				}
			}
		}
	}
	return axes
}

// cholesky solves Ax = b in place for the symmetric A, as wide as b is long, whose upper triangle is given in rows of stride elements.
func cholesky(a, b []float32, stride int) {
	n := len(b)
	for k := range n {
		row := a[k*stride:][:n]
		p := 1 / float32(math.Sqrt(float64(row[k])))
		for j := k; j < n; j++ {
			row[j] *= p
		}
		for i := k + 1; i < n; i++ {
			vec.Axpy(-row[i], row[i:], a[i*stride+i:][:n-i])
		}
	}
	for k := range n {
		b[k] /= a[k*stride+k]
		if k+1 < n {
			vec.Axpy(-b[k], a[k*stride+k+1:][:n-k-1], b[k+1:])
		}
	}
	for k := n - 1; k >= 0; k-- {
		s := b[k]
		for j := k + 1; j < n; j++ {
			s -= a[k*stride+j] * b[j]
		}
		b[k] = s / a[k*stride+k]
	}
}
