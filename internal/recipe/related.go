package recipe

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strconv"

	"github.com/palate-dev/palate/internal/recipe/vec"
)

// Related items by collaborative filtering: two items are alike if the same users have them. With x_ui = 1 if user u has item i, w_u = 1/√(items of u), so
// that who took everything says less, and n_j the users of item j,
//
//	similarity(i, j) = Σ_u w_u x_ui x_uj / (n_j + shrink)^α
//
// α is the popularity discount: 0 ranks by co-occurrence, 1 by the share of j's users who have i too, 1/2 as the cosine does. The popularity of i itself is
// the same for its whole row and left out. (Sarwar et al. 2001; the damping of users is that of Deshpande and Karypis 2004.)

const shrink = 5 // users added to those of an item

// relatedRows is the model: of each item the most similar ones, best first.
type relatedRows struct {
	*rows
	popular []int32 // the answer for an item that nothing is known about
}

// measureRelated trains without the test users and measures on them.
func (in *input) measureRelated(ctx context.Context, progress Progress) (map[string]float64, error) {
	test := in.testSet()
	query := make([]int32, len(in.ev.Users)) // what is asked for is like the last item that the model may see, -1 for none
	asked := make([]bool, len(in.items))
	for u := range query {
		query[u] = -1
		if n := int(in.ev.Offsets[u+1] - in.ev.Offsets[u]); test[u] {
			if seen := in.history(nil, u, n-held(n)); len(seen) > 0 {
				query[u] = seen[len(seen)-1].item
				asked[query[u]] = true
			}
		}
	}
	trial, err := in.relate(ctx, func(u int) bool { return !test[u] }, func(item int) bool { return asked[item] }, measured(progress))
	if err != nil {
		return nil, err
	}
	e := newEvaluation(len(in.items), len(in.admit.weights) > 0)
	for u := range in.ev.Users {
		if test[u] {
			e.add(trial.top(query[u], depth, nil, nil), in.truthOf(u))
		}
	}
	return e.metrics(len(in.items)), nil
}

// trainRelated measures the related-items recipe, unless a search has, and trains it on everybody.
func (in *input) trainRelated(ctx context.Context, m *Manifest, w *modelWriter, progress Progress) error {
	if m.Metrics == nil {
		var err error
		if m.Metrics, err = in.measureRelated(ctx, progress); err != nil {
			return err
		}
	}
	r, err := in.relate(ctx, func(int) bool { return true }, func(int) bool { return true }, progress)
	if err != nil {
		return err
	}
	in.writeRelated(w, r)
	return nil
}

// writeRelated writes what serving reads of rows.
func (in *input) writeRelated(w *modelWriter, r *relatedRows) {
	put(w, "related.offsets", r.offsets)
	put(w, "related.item", r.item)
	put(w, "related.value", r.value)
	put(w, "popular.item", r.popular)
	count, _ := in.appearances()
	put(w, "item.count", count)
}

// relate computes the rows of the items that are wanted from the users that use accepts.
func (in *input) relate(ctx context.Context, use, wanted func(int) bool, progress Progress) (*relatedRows, error) {
	if in.trainer == similarItems {
		return in.blend(ctx, use, wanted, progress)
	}
	c := in.gather(func(u int) bool { return in.eligible[u] && use(u) })
	damped, plain := newBaskets(&c.sequences, true), newBaskets(&c.sequences, false)
	fewest := int64(1)
	if text, ok := in.param("min_cointeraction_count"); ok {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			fewest = max(1, n)
		}
	}
	discount := 0.5
	if f, ok := in.fraction("popularity_discount_factor"); ok {
		discount = f
	}
	left := in.withinItemPercentiles()
	scale := make([]float64, c.items)
	for i := range scale {
		scale[i] = 1 / power(damped.size(i)+shrink, discount)
	}
	counters := make([][2]*counter, c.items) // by worker
	best := newSelections(c.items, rowEntries)
	count := newMeter(progress, "similarities", c.items)
	err := vec.Parallel(ctx, c.items, func(i, worker int) {
		defer count.add(1)
		if !left[i] || !wanted(i) {
			return
		}
		if counters[worker][0] == nil {
			counters[worker] = [2]*counter{newCounter(c.items), newCounter(c.items)}
		}
		weight, users := counters[worker][0], counters[worker][1]
		damped.together(i, weight)
		plain.together(i, users)
		weight.each(func(j int32, sum int64) {
			if int(j) != i && left[j] && users.sum[j] >= fewest*one {
				best[i].offer(j, float32(float64(float64(sum)/one)*scale[j]))
			}
		})
		users.each(func(int32, int64) {})
	})
	if err != nil {
		return nil, err
	}
	r := &relatedRows{rows: byValue(best)}
	r.popular, _ = in.popular(use)
	return r, nil
}

// top appends to buf the n items that are most like the query item and that exclude does not take out: of its row, or, where that gives none, of the popular
// items. The query item is never among them.
func (r *relatedRows) top(query int32, n int, exclude func(int32) bool, buf []int32) []int32 {
	var row []int32
	if query >= 0 {
		row, _ = r.of(query)
	}
	return r.first(row, query, n, exclude, buf)
}

// first is top for a row in an order of its own.
func (r *relatedRows) first(row []int32, query int32, n int, exclude func(int32) bool, buf []int32) []int32 {
	for _, list := range [][]int32{row, r.popular} {
		for _, i := range list {
			if len(buf) < n && i != query && (exclude == nil || !exclude(i)) {
				buf = append(buf, i)
			}
		}
		if len(buf) > 0 {
			break
		}
	}
	return buf
}

// withinItemPercentiles marks the items whose events are neither too few nor too many by the configuration's percentiles.
func (in *input) withinItemPercentiles() []bool {
	count, _ := in.appearances()
	var sorted []int64
	for _, n := range count {
		if n > 0 {
			sorted = append(sorted, n)
		}
	}
	slices.Sort(sorted)
	least, most := int64(1), int64(math.MaxInt64)
	if p, ok := in.fraction("min_item_interaction_count_percentile"); ok && len(sorted) > 0 {
		least = sorted[percentile(p, len(sorted))]
	}
	if p, ok := in.fraction("max_item_interaction_count_percentile"); ok && len(sorted) > 0 {
		most = sorted[percentile(p, len(sorted))]
	}
	left := make([]bool, len(count))
	for i, n := range count {
		left[i] = least <= n && n <= most
	}
	return left
}

// power is n^p for 0 <= p <= 1, to 2⁻³² of p: the product of the roots n^(1/2), n^(1/4), ... that make up p. Unlike math.Pow it has the same bits on every machine.
func power(n int, p float64) float64 {
	const bits = 32
	digits := uint64(p * (1 << bits))
	out, root := 1.0, float64(n)
	if digits >= 1<<bits {
		return root
	}
	for b := bits - 1; b >= 0; b-- {
		root = math.Sqrt(root)
		if digits>>b&1 == 1 {
			out = float64(out * root)
		}
	}
	return out
}

func (m *Model) loadRelated() error {
	r := &relatedRows{rows: &rows{}}
	var err [5]error
	r.offsets, err[0] = array[int64](m.mapping, "related.offsets")
	r.item, err[1] = array[int32](m.mapping, "related.item")
	r.value, err[2] = array[float32](m.mapping, "related.value")
	r.popular, err[3] = array[int32](m.mapping, "popular.item")
	m.count, err[4] = array[int64](m.mapping, "item.count")
	m.related = r
	return cmp.Or(err[:]...)
}

// listRelated answers for the query's item.
func (m *Model) listRelated(q *Query, exclude func(int32) bool, buf []Scored) []Scored {
	query := int32(-1)
	if i, known := m.Code(q.Item); known {
		query = i
	}
	for _, i := range m.related.first(m.relatedRow(q, query), query, q.N, exclude, make([]int32, 0, min(q.N, rowEntries))) {
		buf = append(buf, Scored{Item: m.items[i]})
	}
	return buf
}

// allAfter lists all items, those of first before the others.
func (in *input) allAfter(first []int32) []int32 {
	order := slices.Clone(first)
	listed := make([]bool, len(in.items))
	for _, i := range first {
		listed[i] = true
	}
	for i := range in.items {
		if !listed[i] {
			order = append(order, int32(i))
		}
	}
	return order
}

// relatedRow is the row of the query's item in the order of the answers, nil for no item.
func (m *Model) relatedRow(q *Query, item int32) []int32 {
	if item < 0 {
		return nil
	}
	row, similarity := m.related.of(item)
	if m.influences(q) {
		return m.semantics.influenced(row, similarity, q.Influence)
	}
	return row
}

// influences tells whether more than similarity counts.
func (m *Model) influences(q *Query) bool { return m.semantics != nil && q.Influence != (Influence{}) }
