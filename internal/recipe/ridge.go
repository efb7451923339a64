package recipe

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/palate-dev/palate/internal/recipe/vec"
)

// The regressions of personalization.
//
// With order in the data: for every position of every history, let h be the decayed sum of the items before it and e the item at it. The matrix
//
//	B = (HᵀH + λI)⁻¹ HᵀE
//
// is the ridge regression of e on h, in closed form; the relevance of all items to a user is hB. Without order (all times equal): B is the
// regression of each item on the user's other items, B = I - P diag(P)⁻¹ with P = (XᵀWX + λI)⁻¹ (EASE, Steck 2019), where a user of n items has the
// weight 1 in W, or 1/√n where that suits the data: quality is judged by user and not by event.
//
// The inverse is dense, so it spans only the most frequent items, the core. An item outside of the core is a full target of the regression; as a
// source it gets the regression on itself alone, which is all that its few events can carry: row / (own diagonal + λ). Of each row the entries of
// largest magnitude are kept.
const (
	coreSize     = 12288   // most items in the dense inverse: 604 MB and, on two cores, about ten seconds
	coreCount    = 4       // fewest events of an item of the core
	reachDefault = 32      // events of the history that count, the default of bptt
	rowEntries   = 300     // kept per row of B, unless hidden_dimension says otherwise
	batchTargets = 8192    // columns of HᵀE held in memory at a time, at most
	batchEntries = 1 << 26 // and entries of theirs
)

// regression says what is regressed on what, and how strongly it is held back.
type regression struct {
	ordered bool
	reach   int
	rate    int64 // decay per event, in units of 2⁻¹⁶
	back    int64 // weight of transitions against time, in units of 2⁻¹⁶
	damping bool  // without order: users are weighted by halfDamped
	lambda  float64
	core    int // most items in the dense inverse
}

// solver computes the rows of the model.
type solver struct {
	seq    *sequences
	where  *postings
	window *window  // nil without order
	sets   *baskets // nil with order
	lambda float64
	keep   int // entries of a row

	core    []int32 // the items of the core, ascending
	rank    []int32 // item -> index into core, -1 outside
	inverse *vec.Symmetric

	counters []*counter // one per worker
	entries  int64      // of the columns of a batch, at most; it bounds memory and changes nothing else
}

// solve returns the rows of B, keep entries of each.
func solve(ctx context.Context, seq *sequences, r regression, keep int, progress Progress) (*rows, error) {
	s := newSolver(seq, r)
	s.keep = keep
	defer s.inverse.Close()
	if err := s.invertGram(ctx, progress); err != nil {
		return nil, err
	}
	return s.rows(ctx, progress)
}

func newSolver(seq *sequences, r regression) *solver {
	s := &solver{seq: seq, where: invert(seq.item, seq.items), lambda: r.lambda, entries: batchEntries}
	if r.ordered {
		s.window = newWindow(seq, s.where, geometric(r.rate, r.reach), r.back)
	} else {
		s.sets = newBaskets(seq, r.damping)
	}
	s.counters = make([]*counter, seq.items)
	s.chooseCore(r.core)
	s.inverse = vec.NewSymmetric(len(s.core))
	return s
}

// chooseCore takes the items with the most events, ties by id.
func (s *solver) chooseCore(size int) {
	for i := range s.seq.items {
		if len(s.where.of(i)) >= coreCount {
			s.core = append(s.core, int32(i))
		}
	}
	if len(s.core) > size {
		slices.SortStableFunc(s.core, func(a, b int32) int { return cmp.Compare(len(s.where.of(int(b))), len(s.where.of(int(a)))) })
		s.core = s.core[:size]
		slices.Sort(s.core)
	}
	s.rank = make([]int32, s.seq.items)
	for i := range s.rank {
		s.rank[i] = -1
	}
	for r, i := range s.core {
		s.rank[i] = int32(r)
	}
}

// counter is the worker's own.
func (s *solver) counter(worker int) *counter {
	if s.counters[worker] == nil {
		s.counters[worker] = newCounter(s.seq.items)
	}
	return s.counters[worker]
}

// gram counts row i of the Gram matrix; its unit is gramUnit.
func (s *solver) gram(i int, c *counter) {
	if s.window != nil {
		s.window.gram(i, c)
	} else {
		s.sets.together(i, c)
	}
}

// into counts column j of the right-hand side, in the same unit.
func (s *solver) into(j int, c *counter) {
	if s.window != nil {
		s.window.into(j, c)
	} else {
		s.sets.together(j, c)
	}
}

// from counts row i of the right-hand side.
func (s *solver) from(i int, c *counter) {
	if s.window != nil {
		s.window.from(i, c)
	} else {
		s.sets.together(i, c)
	}
}

func (s *solver) unit() float64 {
	if s.window != nil {
		return 1.0 / (one * one)
	}
	return 1.0 / one
}

// invertGram computes (HᵀH + λI)⁻¹ over the core. The matrix is first scaled to a unit diagonal, which takes the popularity of items out of its condition number.
func (s *solver) invertGram(ctx context.Context, progress Progress) error {
	n := len(s.core)
	unit := s.unit()
	err := vec.Parallel(ctx, n, func(r, worker int) {
		row, c := s.inverse.Row(r), s.counter(worker)
		s.gram(int(s.core[r]), c)
		c.each(func(item int32, sum int64) {
			if t := s.rank[item]; t >= int32(r) {
				row[t] = float32(float64(sum) * unit)
			}
		})
		row[r] += float32(s.lambda)
	})
	if err != nil || n == 0 {
		return err
	}
	norm := make([]float32, n)
	for r := range norm {
		norm[r] = float32(1 / math.Sqrt(float64(s.inverse.Row(r)[r])))
	}
	equilibrate := func(r, _ int) {
		row := s.inverse.Row(r)
		for t := r; t < n; t++ {
			row[t] = row[t] * norm[r] * norm[t]
		}
	}
	if err := vec.Parallel(ctx, n, equilibrate); err != nil {
		return err
	}
	if err := vec.Invert(ctx, s.inverse, func(done, total int) { progress("solving", int64(done), int64(total)) }); err != nil {
		return err
	}
	return vec.Parallel(ctx, n, equilibrate)
}

// column is the right-hand side of one target over the core, by rank in the core, ascending.
type column struct {
	item  int32
	rank  []int32
	value []float32
}

func (s *solver) column(item int32, c *counter) column {
	col := column{item: item}
	if s.window == nil && s.rank[item] >= 0 {
		return col // the inverse says it all
	}
	unit := s.unit()
	s.into(int(item), c)
	c.each(func(source int32, sum int64) {
		if r := s.rank[source]; r >= 0 {
			col.rank = append(col.rank, r)
			col.value = append(col.value, float32(float64(sum)*unit))
		}
	})
	return col
}

// rows solves for all targets, in batches that bound the memory of their columns.
func (s *solver) rows(ctx context.Context, progress Progress) (*rows, error) {
	best := newSelections(s.seq.items, s.keep)
	columns := make([]column, 0, batchTargets)
	for from := 0; from < s.seq.items; {
		to := s.batch(from)
		columns = columns[:to-from]
		err := vec.Parallel(ctx, len(columns), func(t, worker int) {
			columns[t] = s.column(int32(from+t), s.counter(worker))
		})
		if err != nil {
			return nil, err
		}
		panels := make([]panel, len(s.core)) // one per worker
		err = vec.Parallel(ctx, s.inverse.Stride/vec.TileCols, func(block, worker int) {
			p := &panels[worker]
			if p.table == nil {
				p.table = make([]float32, s.inverse.Stride*vec.TileCols)
			}
			p.first = block * vec.TileCols
			s.inverse.Columns(p.table, p.first)
			s.score(p, columns, best)
		})
		if err != nil {
			return nil, err
		}
		from = to
		progress("scoring", int64(from), int64(s.seq.items))
	}
	err := vec.Parallel(ctx, s.seq.items, func(i, worker int) {
		if s.rank[i] < 0 {
			s.tail(int32(i), s.counter(worker), &best[i])
		}
	})
	if err != nil {
		return nil, err
	}
	return flatten(best), nil
}

// batch is the end of the batch of targets that starts at from.
func (s *solver) batch(from int) int {
	entries, to := int64(0), from
	for to < s.seq.items && to-from < batchTargets {
		entries += s.bound(to)
		if entries > s.entries && to > from {
			break
		}
		to++
	}
	return to
}

// bound is at least the number of entries of an item's column.
func (s *solver) bound(item int) int64 {
	n := int64(0)
	for _, at := range s.where.of(item) {
		u := s.seq.user[at]
		n += 2 * min(basketSize, s.seq.offsets[u+1]-s.seq.offsets[u])
	}
	return min(n, 2*int64(len(s.core)))
}

// panel is a worker's view of TileCols columns of the inverse, those of the sources from rank first on.
type panel struct {
	first int
	table []float32
}

// score offers every target to the sources of a panel.
func (s *solver) score(p *panel, columns []column, best []selection) {
	last := min(p.first+vec.TileCols, len(s.core))
	var out [vec.TileCols]float32
	var chosen [vec.TileCols]*selection
	for r := p.first; r < last; r++ {
		chosen[r-p.first] = &best[s.core[r]]
	}
	for t := range columns {
		col := &columns[t]
		clear(out[:])
		if own := s.rank[col.item]; s.window == nil && own >= 0 {
			s.ease(out[:], p, int(own))
		} else {
			vec.Gather(out[:], p.table, col.rank, col.value)
		}
		for j, selected := range chosen[:last-p.first] {
			selected.offer(col.item, out[j])
		}
	}
}

// ease is the column of I - P diag(P)⁻¹ of the target with rank own, at the sources of a panel of P.
func (s *solver) ease(out []float32, p *panel, own int) {
	diagonal := s.inverse.Row(own)[own]
	for j, v := range p.table[own*vec.TileCols:][:vec.TileCols] {
		out[j] = -v / diagonal
	}
	if own >= p.first && own < p.first+vec.TileCols {
		out[own-p.first] = 0
	}
}

// tail is the row of an item outside of the core.
func (s *solver) tail(item int32, c *counter, best *selection) {
	unit := s.unit()
	own := s.lambda
	s.gram(int(item), c)
	c.each(func(i int32, sum int64) {
		if i == item {
			own = float64(float64(sum)*unit) + own
		}
	})
	s.from(int(item), c)
	c.each(func(i int32, sum int64) {
		if i != item || s.window != nil {
			best.offer(i, float32(float64(sum)*unit/own))
		}
	})
}
