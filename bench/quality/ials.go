package main

import (
	"context"
	"math"
	"math/rand/v2"

	"github.com/palate-dev/palate/internal/recipe/vec"
)

// ials is implicit alternating least squares (Hu et al. 2008) as Rendle et al. (2021) tune it: every user-item pair without an event has the weight
// unobserved and target 0, an event has weight 1 and target 1, and the regularisation of a vector grows with the number of its events and of the
// pairs without. Each vector is solved exactly by Cholesky.
type ials struct {
	dimension  int
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
	return c.rank(want, func(user int32, sum []float32, _ int) {
		if user < 0 {
			return
		}
		x := users[int(user)*d:][:d]
		for i := range sum {
			s := float32(0)
			for k, y := range items[i*d:][:d] {
				s += x[k] * y
			}
			sum[i] = s
		}
	}), nil
}

// solve computes every row of x from the fixed y and the events of the row.
func (m ials) solve(x, y []float32, events [][]int32) {
	d := m.dimension
	gram := make([]float32, d*d)
	for at := 0; at < len(y); at += d {
		rankOne(gram, y[at:at+d], float32(m.unobserved))
	}
	type space struct{ a, b []float32 }
	spaces := make([]space, len(events)) // one per worker
	_ = vec.Parallel(context.Background(), len(events), func(row, worker int) {
		s := &spaces[worker]
		if s.a == nil {
			*s = space{make([]float32, d*d), make([]float32, d)}
		}
		copy(s.a, gram)
		clear(s.b)
		for _, e := range events[row] {
			v := y[int(e)*d:][:d]
			rankOne(s.a, v, 1)
			vec.Axpy(1, v, s.b)
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
