package recipe

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strconv"

	"github.com/palate-dev/palate/internal/recipe/vec"
)

// Similar items: what is taken together, and, the less is known of that, what is alike. With n_i the users of item i, c_ij the cosine of two items over their
// users (each weighted by 1/√(items), as related.go does) and a_ij the likeness of their attributes (content.go),
//
//	similarity(i, j) = (m c_ij + s κ a_ij) / (m + s),  m = min(n_i, n_j)
//
// which is the mean of c_ij under a prior that is worth s users and whose centre κ a_ij is the regression of cosine on likeness over items with many users. So
// an item without events is compared by its attributes alone, on the scale of all others. Without an Items dataset all a_ij are 0, which leaves the shrunk cosine.

const (
	priorUsers  = 8    // s
	manyUsers   = 20   // from which an item's cosines count for the regression
	probedItems = 2000 // of which so many are looked at
)

// blend computes the rows of the items that are wanted from the users that use accepts.
func (in *input) blend(ctx context.Context, use, wanted func(int) bool, progress Progress) (*relatedRows, error) {
	c := in.gather(use)
	popular, _ := in.popular(use)
	b, err := in.newBlender(ctx, newBaskets(&c.sequences, true), popular, in.allAfter(popular), use, in.entries("item_metadata_hidden_dim"))
	if err != nil {
		return nil, err
	}
	progress("attributes", 1, 1)
	best, err := b.similarities(ctx, wanted, in.entries("item_id_hidden_dim"), progress)
	if err != nil {
		return nil, err
	}
	return &relatedRows{rows: byValue(best), popular: popular}, nil
}

// newBlender prepares to blend what users have, those that use accepts, with the likeness of attributes. popular are the items by their users; so many of listed,
// those that are most like an item, are candidates for its row.
func (in *input) newBlender(ctx context.Context, users *baskets, popular, listed []int32, use func(int) bool, candidates int) (b *blender, err error) {
	alike, _ := in.content(trainedColumn, words, use)
	b = &blender{users: users, index: newContentIndex(alike, listed, len(in.items), candidates), root: make([]float64, len(in.items)), prior: priorUsers}
	for i := range b.root {
		b.root[i] = math.Sqrt(float64(users.size(i) + shrink))
	}
	b.slope, err = b.regress(ctx, popular)
	return b, err
}

// similarities are the largest keep of each item that is wanted.
func (b *blender) similarities(ctx context.Context, wanted func(int) bool, keep int, progress Progress) ([]selection, error) {
	n := len(b.root)
	best := newSelections(n, keep)
	work := make([]blending, n) // by worker
	count := newMeter(progress, "similarities", n)
	return best, vec.Parallel(ctx, n, func(i, worker int) {
		defer count.add(1)
		if wanted(i) {
			b.row(int32(i), &work[worker], &best[i])
		}
	})
}

// entriesPerUnit is what a unit of a hidden dimension stands for: so many entries of a row. At the default of 100 that is rowEntries.
const entriesPerUnit = 3

// entries is the capacity that a hidden dimension gives: item_id_hidden_dim bounds the items of a row, item_metadata_hidden_dim how many of the items that are
// most alike by attributes are candidates for it.
func (in *input) entries(dimension string) int {
	if text, ok := in.param(dimension); ok {
		if n, err := strconv.Atoi(text); err == nil && n > 0 {
			return entriesPerUnit * n
		}
	}
	return rowEntries
}

// trainedColumn reports whether the likeness of items looks at the column: at all but names.
func trainedColumn(c *Column) bool { return c.Kind != Title }

// blender computes rows of similarities.
type blender struct {
	users *baskets
	index *contentIndex
	root  []float64 // √(n+shrink) by item
	prior float64   // s
	slope float64   // κ
}

// blending is the working memory of one goroutine.
type blending struct {
	search contentSearch
	users  *counter
	alike  []float32 // by item; zero between rows
}

// cosine of two items over their users; sum is the weight of those that they have in common, in units of 2⁻¹⁶.
func (b *blender) cosine(i, j int32, sum int64) float64 {
	return float64(sum) / one / float64(b.root[i]*b.root[j])
}

func (b *blender) similarity(i, j int32, sum int64, alike float32) float32 {
	m := float64(min(b.users.size(int(i)), b.users.size(int(j))))
	if m+b.prior == 0 { // whatever the prior, it is all that is known
		return float32(b.slope * float64(alike))
	}
	taken, prior := float64(m*b.cosine(i, j, sum)), float64(b.prior*float64(b.slope*float64(alike)))
	return float32((taken + prior) / (m + b.prior))
}

// row offers the similarities of item i.
func (b *blender) row(i int32, w *blending, best *selection) {
	n := len(b.root)
	if w.users == nil {
		w.users, w.alike = newCounter(n), make([]float32, n)
	}
	var near []entry
	if b.prior > 0 || b.users.size(int(i)) == 0 {
		near = b.index.near(i, &w.search)
	}
	for _, e := range near {
		w.alike[e.item] = e.value
	}
	b.users.together(int(i), w.users)
	w.users.each(func(j int32, sum int64) {
		if j != i {
			best.offer(j, b.similarity(i, j, sum, w.alike[j]))
		}
		w.alike[j] = 0
	})
	for _, e := range near {
		if w.alike[e.item] != 0 { // no user has both
			best.offer(e.item, b.similarity(i, e.item, 0, e.value))
			w.alike[e.item] = 0
		}
	}
}

// regress finds κ = Σ c·a / Σ a² over what is alike to popular items. Where nobody has many users, κ is 1: only the order by likeness matters then.
func (b *blender) regress(ctx context.Context, popular []int32) (float64, error) {
	known := popular
	if b.index.terms == 0 {
		return 1, nil
	}
	for len(known) > 0 && b.users.size(int(known[len(known)-1])) < manyUsers {
		known = known[:len(known)-1]
	}
	var probed []int32
	stride := max(1, (len(known)+probedItems-1)/probedItems)
	for at := 0; at < len(known); at += stride {
		probed = append(probed, known[at])
	}
	type sums struct{ both, square float64 }
	found := make([]sums, len(probed))
	work := make([]blending, len(probed))
	err := vec.Parallel(ctx, len(probed), func(n, worker int) {
		w, i := &work[worker], probed[n]
		if w.users == nil {
			w.users, w.alike = newCounter(len(b.root)), make([]float32, len(b.root))
		}
		b.users.together(int(i), w.users)
		near := b.index.near(i, &w.search)
		for _, e := range near {
			if b.users.size(int(e.item)) >= manyUsers {
				a := float64(e.value)
				found[n].both += float64(b.cosine(i, e.item, w.users.sum[e.item]) * a)
				found[n].square += float64(a * a)
			}
		}
		w.users.each(func(int32, int64) {})
	})
	if err != nil {
		return 0, err
	}
	var all sums
	for _, s := range found {
		all.both += s.both
		all.square += s.square
	}
	if all.both <= 0 {
		return 1, nil
	}
	return all.both / all.square, nil
}

// byValue makes rows of selections, each with its greatest values first, ties by item.
func byValue(best []selection) *rows {
	r := &rows{offsets: make([]int64, 1, len(best)+1)}
	for i := range best {
		row := best[i].entries()
		slices.SortFunc(row, func(a, b entry) int { return cmp.Or(cmp.Compare(b.value, a.value), cmp.Compare(a.item, b.item)) })
		for _, e := range row {
			r.item = append(r.item, e.item)
			r.value = append(r.value, e.value)
		}
		r.offsets = append(r.offsets, int64(len(r.item)))
	}
	return r
}
