package main

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/palate-dev/palate/internal/recipe/vec"
)

// popularity ranks by number of users, the same for everybody.
type popularity struct{}

func (popularity) lists(t *task, want []string) (map[string][]string, error) {
	c := code(t)
	return c.rank(want, func(_ int32, sum []float32, _ int) {
		for i, users := range c.byItem {
			sum[i] = float32(len(users))
		}
	}), nil
}

// itemKNN sums cosine similarities of a user's items to each item's nearest neighbours, shrunk towards zero where few users speak:
// s = n(i,j) / (√(n(i)n(j)) + shrink).
type itemKNN struct {
	neighbours int
	shrink     float64
}

func (k itemKNN) lists(t *task, want []string) (map[string][]string, error) {
	c := code(t)
	type neighbour struct {
		item int32
		like float32
	}
	rows := make([][]neighbour, len(c.items))
	counts := make([][]int32, len(c.items)) // one per worker
	_ = vec.Parallel(context.Background(), len(c.items), func(i, worker int) {
		if counts[worker] == nil {
			counts[worker] = make([]int32, len(c.items))
		}
		count := counts[worker]
		clear(count)
		for _, u := range c.byItem[i] {
			for _, j := range c.byUser[u] {
				count[j]++
			}
		}
		for j, n := range count {
			if n > 0 && j != i {
				like := float64(n) / (math.Sqrt(float64(len(c.byItem[i])*len(c.byItem[j]))) + k.shrink)
				rows[i] = append(rows[i], neighbour{int32(j), float32(like)})
			}
		}
		slices.SortFunc(rows[i], func(a, b neighbour) int { return cmp.Or(cmp.Compare(b.like, a.like), cmp.Compare(a.item, b.item)) })
		rows[i] = rows[i][:min(len(rows[i]), k.neighbours)]
	})
	return c.rank(want, func(user int32, sum []float32, _ int) {
		if user < 0 {
			return
		}
		for _, i := range c.byUser[user] {
			for _, n := range rows[i] {
				sum[n.item] += n.like
			}
		}
	}), nil
}
