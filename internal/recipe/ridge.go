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
// The inverse is dense, so it spans only the core: the items whose own sums stand out against λ, the most frequent ones. The others are hardly held
// together with anything but the core, so their rows follow from those of the core by one step of block Gauss-Seidel: with G the Gram matrix and C the
// right-hand side,
//
//	row i of B = (row i of C - Σ over k in the core of G[i][k] · row k of B) / (G[i][i] + λ)
//
// where the sum takes the largest elements of G, and only the items that row i of C names are looked at: it is they whose weight the core explains in
// part, and rows of the rarest items stay as short as their histories. A step more would gain nothing where rows are weak, and need not converge where they are strong. As
// a target of the regression, every item is a full one, but without order the rows of the core name of the others only those that somebody has together with the row's item.
// Of each row the entries of largest magnitude are kept.
const (
	coreSize     = 8192 // most items in the dense inverse: 268 MB, and 2.7 · 10¹¹ multiplications,
	coreSets     = 4096 // but no more than this
	eventsSets   = 512  // and one for each so many events, so that the dense work does not outgrow the data
	coreOrdered  = 6144 // and with order, where right-hand sides as wide as the catalogue are multiplied with all of it,
	coreLeast    = 2048 // no more than this
	coreEvents   = 4096 // and one for each so many events
	tailTerms    = 32   // elements of G in the row of an item outside of the core, at most,
	tailSets     = 4    // and without order, where more of them take away more than the core explains
	reachDefault = 32   // events of the history that count, the default of bptt
	rowEntries   = 300  // kept per row of B, unless hidden_dimension says otherwise

	// The least own sum of an item of the core, as a share of λ. Without order λ follows the mean of the own sums, and what a row is
	// held back by is mostly other rows.
	coreShareOrdered   = 1.0
	coreShareUnordered = 1.0 / 64
)

// core is the most items in the dense inverse of the main regression.
func (c *corpus) core() int {
	if !c.ordered {
		return min(coreSize, coreSets+len(c.item)/eventsSets)
	}
	return min(coreOrdered, coreLeast+len(c.item)/coreEvents)
}

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
	want   wanted

	core    []int32 // the items of the core, ascending
	rank    []int32 // item -> index into core, -1 outside
	inverse *vec.Symmetric

	counters []*counter // one per worker
	entries  int64      // of the columns of a batch, at most; it bounds memory and changes nothing else
}

// solve returns the wanted rows of B, keep entries of each.
func solve(ctx context.Context, seq *sequences, r regression, keep int, want wanted, progress Progress) (*rows, error) {
	s := newSolver(seq, r)
	s.keep, s.want = keep, want
	defer s.inverse.Close()
	if err := s.invertGram(ctx, progress); err != nil {
		return nil, err
	}
	return s.rows(ctx, progress)
}

func newSolver(seq *sequences, r regression) *solver {
	s := &solver{seq: seq, where: invert(seq.item, seq.items), lambda: r.lambda, entries: batchEntries}
	if r.ordered {
		s.window = newWindow(seq, s.where, fading(r.rate, r.reach), r.back)
	} else {
		s.sets = newBaskets(seq, r.damping)
	}
	s.counters = make([]*counter, seq.items)
	s.chooseCore(r.core)
	s.inverse = vec.NewSymmetric(len(s.core))
	return s
}

// chooseCore takes the items whose own sums are the largest, ties by id.
func (s *solver) chooseCore(size int) {
	own := make([]int64, s.seq.items)
	share := coreShareUnordered
	if s.window != nil {
		share = coreShareOrdered
	}
	least := float64(share*s.lambda) / s.unit()
	for i := range own {
		if own[i] = s.own(i); float64(own[i]) >= least && own[i] > 0 {
			s.core = append(s.core, int32(i))
		}
	}
	if len(s.core) > size {
		slices.SortStableFunc(s.core, func(a, b int32) int { return cmp.Compare(own[b], own[a]) })
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

// own is the diagonal element of item i of the Gram matrix, without what repeated events of a user add together; its unit is unit().
func (s *solver) own(i int) int64 {
	if s.window != nil {
		return s.window.own(i)
	}
	return s.sets.own(i)
}

// above counts of row i of the Gram matrix, in the same unit, at least the elements on the diagonal and right of it.
func (s *solver) above(i int, c *counter) {
	if s.window != nil {
		s.window.gram(i, c)
	} else {
		s.sets.onward(i, c)
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
	count := newMeter(progress, "counting", n)
	err := vec.Parallel(ctx, n, func(r, worker int) {
		defer count.add(1)
		row, c := s.inverse.Row(r), s.counter(worker)
		s.above(int(s.core[r]), c)
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

// rows solves for all targets.
func (s *solver) rows(ctx context.Context, progress Progress) (*rows, error) {
	best := newSelections(s.seq.items, s.keep)
	if len(s.core) > 0 {
		if err := s.score(ctx, best, progress); err != nil {
			return nil, err
		}
	}
	if err := vec.Parallel(ctx, len(s.core), func(r, _ int) { best[s.core[r]].prune() }); err != nil {
		return nil, err
	}
	count := newMeter(progress, "rare items", s.seq.items-len(s.core))
	tails := make([]tail, s.seq.items) // one per worker
	err := vec.Parallel(ctx, s.seq.items, func(i, worker int) {
		if s.rank[i] < 0 && s.want.has(i) {
			s.tail(int32(i), s.counter(worker), &tails[worker], best)
			count.add(1)
		}
	})
	if err != nil {
		return nil, err
	}
	for _, i := range s.core {
		if !s.want.has(int(i)) {
			best[i].kept = nil
		}
	}
	solved := flatten(best)
	solved.core = len(s.core)
	return solved, nil
}

// tail is a worker's memory for rows outside of the core.
type tail struct {
	sums sums
	near selection
}

// tail selects the row of an item outside of the core, of which all rows are selected.
func (s *solver) tail(item int32, c *counter, t *tail, best []selection) {
	unit := s.unit()
	own := s.lambda
	terms := tailTerms
	if s.window == nil {
		terms = tailSets
	}
	t.near = selection{keep: terms, kept: t.near.kept[:0]}
	t.sums.grow(s.seq.items)
	held := func(i int32, value float64) {
		switch {
		case i == item:
			own = value + own
		case s.rank[i] >= 0:
			t.near.offer(i, float32(value))
		}
	}
	if s.window == nil { // one matrix is both
		s.sets.together(int(item), c)
		c.each(func(i int32, sum int64) {
			value := float64(float64(sum) * unit)
			held(i, value)
			t.sums.add(i, float32(value))
		})
	} else {
		s.window.gram(int(item), c)
		c.each(func(i int32, sum int64) { held(i, float64(float64(sum)*unit)) })
		s.window.from(int(item), c)
		c.each(func(i int32, sum int64) { t.sums.add(i, float32(float64(sum)*unit)) })
	}
	for _, near := range t.near.ordered() {
		t.sums.addKnown(best[near.item()].kept, -near.value())
	}
	t.sums.each(func(i int32, sum float32) {
		if i != item || s.window != nil {
			best[item].offer(i, sum/float32(own))
		}
	})
}
