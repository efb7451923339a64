package recipe

import (
	"cmp"
	"context"
	"slices"
)

// Popularity ranks items by the number of distinct users who had an event with them, or, for use cases that say so, by the number of
// events; ties by item id. Everybody gets the same list.

// trainPopularity measures and trains the popularity recipe.
func (in *input) trainPopularity(ctx context.Context, m *Manifest, w *modelWriter, progress Progress) error {
	test := in.testSet()
	list, _ := in.popular(func(u int) bool { return !test[u] })
	e := newEvaluation(len(in.items), len(in.admit.weights) > 0)
	for u := range in.ev.Users {
		if test[u] {
			e.add(list[:min(depth, len(list))], in.truthOf(u))
		}
	}
	m.Metrics = e.metrics(len(in.items))
	if err := ctx.Err(); err != nil {
		return err
	}
	list, count := in.popular(func(int) bool { return true })
	put(w, "popular.item", list)
	put(w, "popular.count", count)
	progress("counting", 1, 1)
	return nil
}

// popular lists the items of the accepted users, the most popular first, and their counts.
func (in *input) popular(use func(u int) bool) (list []int32, count []int64) {
	n := make([]int64, len(in.items))
	last := make([]int32, len(in.items)) // 1 + the last user who was counted
	for u := range in.ev.Users {
		if !use(u) {
			continue
		}
		for at := in.ev.Offsets[u]; at < in.ev.Offsets[u+1]; at++ {
			item := in.ev.Item[at]
			if in.cfg.CountEvents || in.entry.CountEvents || last[item] != int32(u)+1 {
				n[item]++
			}
			last[item] = int32(u) + 1
		}
	}
	for i, c := range n {
		if c > 0 {
			list = append(list, int32(i))
		}
	}
	slices.SortStableFunc(list, func(a, b int32) int { return cmp.Compare(n[b], n[a]) })
	for _, i := range list {
		count = append(count, n[i])
	}
	return list, count
}
