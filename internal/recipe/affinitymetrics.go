package recipe

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strconv"

	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/recipe/vec"
)

// Metrics of user segments. Of each user with several events the newest fifth, at least one, is hidden from the model; it then has to name, for items or
// attributes that occur in what is hidden, one user in a hundred, among whom those should be who had them.

const (
	newestPart      = 5   // one event in so many is hidden
	segmentPart     = 100 // one user in so many is named
	measuredTargets = 500 // most items or attributes that are measured: those with the smallest draws
)

// withoutNewest is the input without each user's newest events, with the same codes, and for each item the users, ascending, of whom an event with it is missing.
func (in *input) withoutNewest() (left *input, truth [][]int32) {
	all := in.ev
	ev := &dataset.Events{Users: all.Users, Items: all.Items, Types: all.Types, Offsets: make([]int64, 1, len(all.Offsets)), Seq: all.Seq}
	truth = make([][]int32, len(in.items))
	for u := range all.Users {
		from, to := all.Offsets[u], all.Offsets[u+1]
		hidden := (to - from) / newestPart
		if to-from >= 2 {
			hidden = max(1, hidden)
		}
		ev.Item = append(ev.Item, all.Item[from:to-hidden]...)
		ev.Type = append(ev.Type, all.Type[from:to-hidden]...)
		ev.Time = append(ev.Time, all.Time[from:to-hidden]...)
		ev.Value = append(ev.Value, all.Value[from:to-hidden]...)
		ev.Offsets = append(ev.Offsets, int64(len(ev.Item)))
		for _, i := range all.Item[to-hidden : to] {
			if n := len(truth[i]); n == 0 || truth[i][n-1] != int32(u) {
				truth[i] = append(truth[i], int32(u))
			}
		}
	}
	trial := *in
	trial.ev = ev
	return &trial, truth
}

// segmentTarget is a question of the evaluation with its true answer.
type segmentTarget struct {
	draw  uint64
	items []int32 // those that the model knows; of item affinity the one
	users []int32 // ascending
}

// segmentTargets lists what is measured. known tells of each item whether the model saw events with it.
func (in *input) segmentTargets(known func(item int32) bool, truth [][]int32) []segmentTarget {
	var targets []segmentTarget
	add := func(key string, items []int32) {
		t := segmentTarget{draw: draw(in.cfg.Seed, key)}
		for _, i := range items {
			t.users = append(t.users, truth[i]...)
			if known(i) {
				t.items = append(t.items, i)
			}
		}
		slices.Sort(t.users)
		if t.users = slices.Compact(t.users); len(t.users) > 0 && len(t.items) > 0 {
			targets = append(targets, t)
		}
	}
	if in.trainer == itemAffinity {
		for i, id := range in.items {
			add(id, []int32{int32(i)})
		}
	} else {
		in.eachAttribute(add)
	}
	slices.SortStableFunc(targets, func(a, b segmentTarget) int { return cmp.Compare(a.draw, b.draw) })
	return targets[:min(measuredTargets, len(targets))]
}

// eachAttribute calls do with a name for every value of every column that can be asked for, and the items that have it.
func (in *input) eachAttribute(do func(key string, items []int32)) {
	if in.itemRows == nil {
		return
	}
	rows := in.itemRow()
	for n := range in.itemRows.Columns {
		c := &in.itemRows.Columns[n]
		if !c.queried() {
			continue
		}
		having := make([][]int32, len(c.Level))
		numbers := map[float64][]int32{}
		for i, row := range rows {
			switch {
			case row < 0:
			case c.Kind == Levels:
				for _, l := range c.Of(int(row)) {
					having[l] = append(having[l], int32(i))
				}
			case !math.IsNaN(c.Number[row]):
				numbers[c.Number[row]] = append(numbers[c.Number[row]], int32(i))
			}
		}
		for l, items := range having {
			do(c.Name+"="+c.Level[l], items)
		}
		for _, v := range sortedKeys(numbers) {
			do(c.Name+"="+strconv.FormatFloat(v, 'g', -1, 64), numbers[v])
		}
	}
}

func sortedKeys[V any](m map[float64]V) []float64 {
	keys := make([]float64, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// measureSegments trains on an input without the events of truth and evaluates that; recall is that of each target.
func (in *input) measureSegments(ctx context.Context, use attributeUse, truth [][]int32, progress Progress) (metrics map[string]float64, recall []float64, err error) {
	seen := make([]bool, len(in.items))
	for _, i := range in.ev.Item {
		seen[i] = true
	}
	targets := in.segmentTargets(func(i int32) bool { return seen[i] }, truth)
	asked := make([]bool, len(in.items))
	for _, t := range targets {
		for _, i := range t.items {
			asked[i] = true
		}
	}
	a, err := in.neighbours(ctx, use, func(item int) bool { return asked[item] }, progress)
	if err != nil {
		return nil, nil, err
	}
	named := (len(a.held.events) + segmentPart - 1) / segmentPart
	lists := make([][]int32, len(targets))
	audiences := make([]*audience, len(targets)) // by worker
	err = vec.Parallel(ctx, len(targets), func(n, worker int) {
		if audiences[worker] == nil {
			audiences[worker] = a.newAudience()
		}
		s := audiences[worker]
		if in.trainer == itemAffinity {
			a.toItem(s, targets[n].items[0])
		} else {
			a.toItems(s, targets[n].items)
		}
		lists[n] = slices.Clone(a.top(s, named, nil))
	})
	if err != nil {
		return nil, nil, err
	}
	shown := make([]bool, len(a.held.events))
	covered, hits, found := 0, 0.0, 0.0
	recall = make([]float64, len(targets))
	for n, t := range targets {
		right := 0
		for _, u := range lists[n] {
			if _, ok := slices.BinarySearch(t.users, u); ok {
				right++
			}
			if !shown[u] {
				shown[u] = true
				covered++
			}
		}
		hits += float64(right)
		recall[n] = float64(right) / float64(len(t.users))
		found += recall[n]
	}
	progress("segments", int64(len(targets)), int64(len(targets)))
	return map[string]float64{
		"coverage":            round4(float64(covered) / float64(max(1, len(shown)))),
		"hits_at_1_percent":   round4(hits / float64(max(1, len(targets)))),
		"recall_at_1_percent": round4(found / float64(max(1, len(targets)))),
	}, recall, nil
}
