package main

import (
	"cmp"
	"context"
	"slices"

	"github.com/palate-dev/palate/internal/recipe/vec"
)

// coded is a task with numbers for users and items, as the baselines use it.
type coded struct {
	userCode map[string]int32
	items    []string
	byUser   [][]int32
	byItem   [][]int32
}

func code(t *task) *coded {
	c := &coded{userCode: map[string]int32{}}
	for _, e := range t.train {
		c.items = append(c.items, e.item)
	}
	slices.Sort(c.items)
	c.items = slices.Compact(c.items)
	c.byItem = make([][]int32, len(c.items))
	for _, e := range t.train {
		u, ok := c.userCode[e.user]
		if !ok {
			u = int32(len(c.byUser))
			c.userCode[e.user] = u
			c.byUser = append(c.byUser, nil)
		}
		i, _ := slices.BinarySearch(c.items, e.item)
		c.byUser[u] = append(c.byUser[u], int32(i))
		c.byItem[i] = append(c.byItem[i], u)
	}
	return c
}

// rank turns scores into lists. score fills sum, which is all zero, with the scores of a user; -1 is a user without training data.
func (c *coded) rank(want []string, score func(user int32, sum []float32, worker int)) map[string][]string {
	lists := make([][]string, len(want))
	sums := make([][]float32, len(want)) // one per worker
	_ = vec.Parallel(context.Background(), len(want), func(n, worker int) {
		if sums[worker] == nil {
			sums[worker] = make([]float32, len(c.items))
		}
		sum := sums[worker]
		clear(sum)
		u, ok := c.userCode[want[n]]
		if !ok {
			u = -1
		}
		score(u, sum, worker)
		var known []int32
		if ok {
			known = c.byUser[u]
		}
		for _, i := range best(sum, known) {
			lists[n] = append(lists[n], c.items[i])
		}
	})
	out := make(map[string][]string, len(want))
	for n, user := range want {
		out[user] = lists[n]
	}
	return out
}

// best are the listLength items with the highest scores, ties by item, known ones left out.
func best(sum []float32, known []int32) []int32 {
	var top []int32
	order := func(a, b int32) int { return cmp.Or(cmp.Compare(sum[b], sum[a]), cmp.Compare(a, b)) }
	for i := range sum {
		item := int32(i)
		if len(top) == listLength && order(item, top[listLength-1]) > 0 || slices.Contains(known, item) {
			continue
		}
		at, _ := slices.BinarySearchFunc(top, item, order)
		if len(top) == listLength {
			top = top[:listLength-1]
		}
		top = slices.Insert(top, at, item)
	}
	return top
}
