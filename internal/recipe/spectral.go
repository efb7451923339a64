package recipe

import (
	"context"
	"math"
	"slices"

	"github.com/palate-dev/palate/internal/recipe/vec"
)

// The graph filter of personalization (GF-CF, Shen et al. 2021), folded into rows.
//
// With R the users' sets of items, scaled to R̃ = D(users)^-½ R D(items)^-½ by how many events each user and each item has, relevance is
//
//	x (R̃ᵀR̃ + α D(items)^-½ VVᵀ D(items)^½)
//
// where the columns of V span the leading singular vectors of R̃: co-occurrence without the bias of those who took everything, and the few directions
// in which all of it moves. VVᵀ is dense; of it, only entries between items that somebody had together are used.
//
// V is found by subspace iteration, of many events on some of the users, and at last on all. Nothing but the subspace matters, so its columns need not be the singular vectors themselves. Every sum of floats
// has a fixed order and is the work of one goroutine. Products of V's rows, one for each pair of items that meet, are of bytes: a row is rounded to 1/127 of its
// largest element, which moves a product by about 0.001 of the rows' lengths, and its 256 numbers are four cache lines instead of sixteen.
const (
	idealWeight = 0.3 // α
	sweeps      = 6   // of the subspace iteration
	mostFactors = 256

	factorNumbers = 64 << 20 // of users and items, at most
	sweptEvents   = 4 << 20  // about as many events at most are looked at by every sweep but the last
)

// filter is the graph filter of some histories.
type filter struct {
	sets    *baskets
	user    []float32 // 1/√(items of the user)
	item    []float32 // 1/√(users of the item), 0 without any
	factors int
	stride  int       // one user in so many is looked at by every sweep but the last
	v       []float32 // items × factors, until they are bytes
	bytes   []int8    // items × factors
	scale   []float32 // of each item, what its bytes count
}

// spectralRows returns the wanted rows of the graph filter without its diagonal.
func spectralRows(ctx context.Context, seq *sequences, keep int, want wanted, progress Progress) (*rows, error) {
	f := newFilter(seq)
	if err := f.iterate(ctx, progress); err != nil {
		return nil, err
	}
	f.round()
	best := newSelections(seq.items, keep)
	counters, lists := make([]*counter, seq.items), make([]near, seq.items) // one per worker
	count := newMeter(progress, "neighbourhoods", seq.items)
	err := vec.Parallel(ctx, seq.items, func(i, worker int) {
		defer count.add(1)
		if counters[worker] == nil {
			counters[worker] = newCounter(seq.items)
		}
		if want.has(i) {
			f.row(int32(i), counters[worker], &lists[worker], &best[i])
		}
	})
	if err != nil {
		return nil, err
	}
	return flatten(best), nil
}

func newFilter(seq *sequences) *filter {
	f := &filter{sets: newWeightedBaskets(seq, damped), factors: factorsFor(seq.users(), seq.items)}
	f.stride = len(f.sets.seq.item)/sweptEvents + 1
	f.user, f.item = make([]float32, seq.users()), make([]float32, seq.items)
	for u := range f.user {
		if n := f.sets.seq.offsets[u+1] - f.sets.seq.offsets[u]; n > 0 {
			f.user[u] = float32(1 / math.Sqrt(float64(n)))
		}
	}
	for i := range f.item {
		if n := f.sets.size(i); n > 0 {
			f.item[i] = float32(1 / math.Sqrt(float64(n)))
		}
	}
	return f
}

// factorsFor is the width of V: many directions are worth keeping where there are many items. Where even the fewest would take too much memory there are none.
func factorsFor(users, items int) int {
	worth := min(mostFactors, max(vec.DotLanes, items/48))
	return min(worth, factorNumbers/max(1, users+items)) / vec.DotLanes * vec.DotLanes
}

// near is a worker's list of the items of a row.
type near struct {
	item   []int32
	linear []float64
	dot    []int32
}

// row offers row i to best.
func (f *filter) row(i int32, c *counter, n *near, best *selection) {
	n.item, n.linear = n.item[:0], n.linear[:0]
	f.sets.together(int(i), c)
	c.each(func(j int32, sum int64) {
		if j != i {
			n.item = append(n.item, j)
			n.linear = append(n.linear, float64(sum)/one*float64(f.item[i])*float64(f.item[j]))
		}
	})
	n.dot = slices.Grow(n.dot[:0], len(n.item))[:len(n.item)]
	vec.DotRows(n.dot, f.rounded(i), f.bytes, n.item)
	for k, j := range n.item {
		ideal := float64(n.dot[k]) * float64(f.scale[i]) * float64(f.scale[j]) * float64(f.item[i]) / float64(f.item[j])
		best.offer(j, float32(n.linear[k]+float64(idealWeight*ideal)))
	}
}

func (f *filter) vector(i int32) []float32 { return f.v[int(i)*f.factors:][:f.factors] }

func (f *filter) rounded(i int32) []int8 { return f.bytes[int(i)*f.factors:][:f.factors] }

// round makes bytes of V.
func (f *filter) round() {
	f.bytes, f.scale = make([]int8, len(f.v)), make([]float32, len(f.item))
	for i := range f.item {
		most := float32(0)
		if f.factors > 0 {
			for _, x := range f.vector(int32(i)) {
				most = max(most, magnitude(x))
			}
		}
		if most == 0 {
			continue
		}
		f.scale[i] = most / math.MaxInt8
		row := f.rounded(int32(i))
		for k, x := range f.vector(int32(i)) {
			row[k] = int8(math.Round(float64(x) / float64(f.scale[i])))
		}
	}
	f.v = nil
}

// iterate finds V: it starts anywhere and multiplies by R̃ᵀR̃ again and again, orthogonal columns in between.
func (f *filter) iterate(ctx context.Context, progress Progress) error {
	if f.factors == 0 {
		return nil
	}
	items := len(f.item)
	f.v = make([]float32, items*f.factors)
	for k := range f.v {
		f.v[k] = float32(uniform(mix(uint64(k)))) - 0.5
	}
	between := make([]float32, len(f.user)*f.factors)
	for sweep := range sweeps {
		stride := f.stride
		if sweep == sweeps-1 {
			stride = 1
		}
		err := vec.Parallel(ctx, len(f.user), func(u, _ int) {
			if u%stride != 0 {
				return
			}
			sum := between[u*f.factors:][:f.factors]
			clear(sum)
			for _, i := range f.sets.seq.item[f.sets.seq.offsets[u]:f.sets.seq.offsets[u+1]] {
				vec.Axpy(f.user[u]*f.item[i], f.vector(i), sum)
			}
		})
		if err != nil {
			return err
		}
		err = vec.Parallel(ctx, items, func(i, _ int) {
			sum := f.vector(int32(i))
			clear(sum)
			for _, at := range f.sets.where.of(i) {
				u := f.sets.seq.user[at]
				if int(u)%stride != 0 {
					continue
				}
				vec.Axpy(f.user[u]*f.item[i], between[int(u)*f.factors:][:f.factors], sum)
			}
		})
		if err != nil {
			return err
		}
		if err := f.orthonormalize(ctx); err != nil {
			return err
		}
		progress("factors", int64(sweep+1), sweeps)
	}
	return nil
}

// orthonormalize replaces V by V·L⁻ᵀ where VᵀV = LLᵀ (Cholesky QR). A column that the ones before it span already becomes zero.
func (f *filter) orthonormalize(ctx context.Context) error {
	r := f.factors
	gram := make([]float32, r*r)
	if err := vec.Gram(ctx, gram, f.v, r); err != nil {
		return err
	}
	return vec.TimesUpper(ctx, f.v, choleskyInverse(gram, r), r)
}

// negligible is what must be left of a column's square for it to count as a direction of its own.
const negligible = 1e-5

// choleskyInverse returns U⁻¹, rows one after the other, where UᵀU = gram, of which only the upper triangle is read. Rows and columns of U without a part
// of their own are left out: they are zero in the inverse.
func choleskyInverse(gram []float32, n int) []float32 {
	u, scale := make([]float64, n*n), make([]float64, n) // scale: inverses of U's diagonal
	for k, v := range gram {
		u[k] = float64(v)
	}
	for k := range n {
		row := u[k*n:][:n]
		pivot := row[k]
		if !(pivot > negligible*float64(gram[k*n+k])) {
			clear(row)
			continue
		}
		root := math.Sqrt(pivot)
		scale[k] = 1 / root
		for j := k; j < n; j++ {
			row[j] /= root
		}
		for i := k + 1; i < n; i++ {
			if below := u[i*n:][:n]; row[i] != 0 {
				for j := i; j < n; j++ {
					below[j] -= float64(row[i] * row[j])
				}
			}
		}
	}
	inverse, column := make([]float32, n*n), make([]float64, n)
	for j := range n {
		if column[j] = scale[j]; column[j] == 0 {
			continue
		}
		for i := j - 1; i >= 0; i-- {
			sum := 0.0
			for k := i + 1; k <= j; k++ {
				sum += float64(u[i*n+k] * column[k])
			}
			column[i] = -float64(sum * scale[i])
		}
		for i := range j + 1 {
			inverse[i*n+j] = float32(column[i])
		}
	}
	return inverse
}
