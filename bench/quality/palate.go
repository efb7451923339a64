package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/quota"
	"github.com/palate-dev/palate/internal/recipe"
	"github.com/palate-dev/palate/internal/recipe/vec"
)

// palate is the project's own user-personalization, with the defaults that everybody gets: trained, written, opened and asked as the service does.
type palate struct {
	seed     uint64
	settings map[string]float64 // what the last training derived from its data
}

func (p *palate) lists(t *task, want []string) (map[string][]string, error) {
	dir, err := os.MkdirTemp("", "bench-quality-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	dir = filepath.Join(dir, "model")
	cfg := recipe.Config{Recipe: "aws-user-personalization-v2", Seed: p.seed}
	trained, err := recipe.Train(context.Background(), recipe.Data{Events: events(t.train)}, cfg, quota.Limits{}, dir, nil)
	if err != nil {
		return nil, err
	}
	p.settings = trained.Settings
	model, err := recipe.Open(dir)
	if err != nil {
		return nil, err
	}
	lists := make([][]string, len(want))
	_ = vec.Parallel(context.Background(), len(want), func(n, _ int) {
		known := t.known[want[n]]
		q := recipe.Query{User: want[n], Known: true, N: listLength, Exclude: func(item string) bool { return slices.Contains(known, item) }}
		for _, s := range model.Recommend(q, nil) {
			lists[n] = append(lists[n], s.Item)
		}
	})
	out := make(map[string][]string, len(want))
	for n, user := range want {
		out[user] = lists[n]
	}
	return out, model.Close()
}

func (p *palate) describe() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(p.settings)) {
		parts = append(parts, fmt.Sprintf("%s %.3g", name, p.settings[name]))
	}
	return strings.Join(parts, ", ")
}

// events brings rows into the form that training reads.
func events(rows []interaction) *dataset.Events {
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(a, b interaction) int {
		return cmp.Or(cmp.Compare(a.user, b.user), cmp.Compare(a.time, b.time), cmp.Compare(a.item, b.item))
	})
	ev := &dataset.Events{Types: []string{""}, Offsets: []int64{0}, Seq: int64(len(rows))}
	for _, e := range rows {
		ev.Items = append(ev.Items, e.item)
	}
	slices.Sort(ev.Items)
	ev.Items = slices.Compact(ev.Items)
	for i, e := range rows {
		if i == 0 || rows[i-1].user != e.user {
			ev.Users = append(ev.Users, e.user)
			ev.Offsets = append(ev.Offsets, int64(i))
		}
		ev.Offsets[len(ev.Offsets)-1] = int64(i + 1)
		item, _ := slices.BinarySearch(ev.Items, e.item)
		ev.Item = append(ev.Item, int32(item))
		ev.Type = append(ev.Type, 0)
		ev.Time = append(ev.Time, e.time)
		ev.Value = append(ev.Value, float32(math.NaN()))
	}
	return ev
}
