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
// pairs without. Each vector is solved exactly by Cholesky.
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

// solve computes every row of x from the fixed y and the events of the row.
func (m ials) solve(x, y []float32, events [][]int32) {
	d := m.dimension
	gram := make([]float32, d*d)
	for at := 0; at < len(y); at += d {
		rankOne(gram, y[at:at+d], float32(m.unobserved))
	}
	type space struct{ a, b, left, right []float32 }
	spaces := make([]space, len(events)) // one per worker
	_ = vec.Parallel(context.Background(), len(events), func(row, worker int) {
		s := &spaces[worker]
		if s.a == nil {
			*s = space{a: make([]float32, d*d), b: make([]float32, d), left: make([]float32, d*gathered), right: make([]float32, d*gathered)}
		}
		copy(s.a, gram)
		clear(s.b)
		for some := range slices.Chunk(events[row], gathered) {
			for t, e := range some {
				v := y[int(e)*d:][:d]
				vec.Axpy(1, v, s.b)
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
		ridge := float32(m.regular * (float64(len(events[row])) + m.unobserved*float64(len(y)/d)))
		for k := range d {
			s.a[k*d+k] += ridge
		}
		cholesky(s.a, s.b, d)
		copy(x[row*d:][:d], s.b)
	})
}

// rankOne adds w·vvᵀ to the upper triangle of a.
func rankOne(a, v []float32, w float32) {
	d := len(v)
	for k := range d {
		vec.Axpy(w*v[k], v[k:], a[k*d+k:][:d-k])
	}
}

// cholesky solves Ax = b in place for the symmetric A whose upper triangle is given.
func cholesky(a, b []float32, d int) {
	for k := range d {
		row := a[k*d:][:d]
		p := 1 / float32(math.Sqrt(float64(row[k])))
		for j := k; j < d; j++ {
			row[j] *= p
		}
		for i := k + 1; i < d; i++ {
			vec.Axpy(-row[i], row[i:], a[i*d+i:][:d-i])
		}
	}
	for k := range d {
		b[k] /= a[k*d+k]
		if k+1 < d {
			vec.Axpy(-b[k], a[k*d+k+1:][:d-k-1], b[k+1:])
		}
	}
	for k := d - 1; k >= 0; k-- {
		s := b[k]
		for j := k + 1; j < d; j++ {
			s -= a[k*d+j] * b[j]
		}
		b[k] = s / a[k*d+k]
	}
}
