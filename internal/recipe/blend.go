package recipe

import (
	"context"
	"math"

	"github.com/palate-dev/palate/internal/recipe/vec"
)

// weighted is a part of a blend.
type weighted struct {
	rows   *rows
	weight float32
}

// blend adds up parts with their weights, multiplies every column by its factor and keeps the strongest keep entries of each wanted row.
func blend(ctx context.Context, parts []weighted, column []float32, keep int, want wanted) (*rows, error) {
	n := len(column)
	best := newSelections(n, keep)
	spaces := make([]sums, n) // one per worker
	err := vec.Parallel(ctx, n, func(i, worker int) {
		if !want.has(i) {
			return
		}
		s := &spaces[worker]
		s.grow(n)
		for _, p := range parts {
			if p.weight == 0 {
				continue
			}
			items, values := p.rows.of(int32(i))
			for k, j := range items {
				s.add(j, float32(p.weight*values[k]))
			}
		}
		s.each(func(j int32, sum float32) { best[i].offer(j, sum*column[j]) })
	})
	if err != nil {
		return nil, err
	}
	blended := flatten(best)
	blended.core = parts[0].rows.core
	return blended, nil
}

// temper returns the factors by which the columns of frequent items lose weight: the count to the power of -eighths/8, and 1 for an item as frequent as
// the item of a random event.
func (c *corpus) temper(eighths int) []float32 {
	count := make([]int64, c.items)
	for _, i := range c.item {
		count[i]++
	}
	squares := 0.0
	for _, n := range count {
		squares += float64(float64(n) * float64(n))
	}
	usual := squares / float64(max(1, len(c.item)))
	factors := make([]float32, c.items)
	for i, n := range count {
		root := math.Sqrt(math.Sqrt(math.Sqrt((usual + temperShrink) / (float64(n) + temperShrink))))
		factor := 1.0
		for range eighths {
			factor *= root
		}
		factors[i] = float32(factor)
	}
	return factors
}

const temperShrink = 5 // events added to a count, so that rare items do not win by being rare
