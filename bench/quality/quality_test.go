package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/palate-dev/palate/internal/recipe/vec"
)

// films is a part of the data of the demo: every so many-th user.
func films(t *testing.T, every int) *collection {
	t.Helper()
	rows, err := readCSV("../../internal/demo/movietweetings/interactions.csv.gz")
	if err != nil {
		t.Fatal(err)
	}
	c := &collection{name: "films", all: rows}
	c.finish()
	n, kept := 0, []interaction(nil)
	users(c.all, func(own []interaction) {
		if n%every == 0 {
			kept = append(kept, own...)
		}
		n++
	})
	c.all = kept
	return c
}

// The floors lie a little below what was measured when they were set. They hold on every machine: nothing here depends on the number of cores.
func TestPersonalizationIsAsGoodAsItWas(t *testing.T) {
	if testing.Short() {
		t.Skip("trains six models")
	}
	c := films(t, 4)
	for _, p := range c.protocols() {
		test, _ := c.split(p, 1)
		ours, err := measure(&palate{seed: 1}, &test)
		if err != nil {
			t.Fatal(err)
		}
		popular, err := measure(popularity{}, &test)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %+v, popularity %+v", p.name, ours, popular)
		floor := map[string]float64{"leave one out": 0.112, "by time": 0.069, "random split": 0.118}[p.name]
		if ours.NDCG10 < floor || ours.NDCG10 < popular.NDCG10 {
			t.Errorf("%s: NDCG@10 is %.4f, below %.4f or the %.4f of popularity", p.name, ours.NDCG10, floor, popular.NDCG10)
		}
	}
}

func TestBaselinesAnswerWithUnknownItemsAndBeatPopularityOnBlocks(t *testing.T) {
	// Two groups of users who take items of their own half: who knows the halves beats who counts.
	rng := rand.New(rand.NewPCG(1, 2))
	var task task
	task.truth, task.known = map[string][]string{}, map[string][]string{}
	for u := range 120 {
		user := string(rune('a'+u%26)) + string(rune('a'+u/26))
		for _, i := range rng.Perm(30)[:12] {
			item := string(rune('A'+u%2)) + string(rune('a'+i))
			if len(task.known[user]) < 8 {
				task.train = append(task.train, interaction{user: user, item: item})
				task.known[user] = append(task.known[user], item)
			} else {
				task.truth[user] = append(task.truth[user], item)
			}
		}
	}
	popular, err := measure(popularity{}, &task)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []method{itemKNN{50, 0}, ials{dimension: vec.TileCols, unobserved: 0.1, regular: 0.01, epochs: 5, seed: 1}} {
		got, err := measure(m, &task)
		if err != nil {
			t.Fatal(err)
		}
		if got.NDCG20 < 1.3*popular.NDCG20 {
			t.Errorf("%T: NDCG@20 %.3f, popularity %.3f", m, got.NDCG20, popular.NDCG20)
		}
		lists, err := m.lists(&task, []string{"aa"})
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range lists["aa"] {
			if slices.Contains(task.known["aa"], item) {
				t.Errorf("%T lists an item that the user has", m)
			}
		}
	}
}

// TestVectorsSolveTheirEquations puts the vectors of rows with few and with many events into the normal equations that they are to solve.
func TestVectorsSolveTheirEquations(t *testing.T) {
	const rows, columns, d = 90, 150, vec.TileCols
	rng := rand.New(rand.NewPCG(5, 6))
	m := ials{dimension: d, unobserved: 0.1, regular: 0.01}
	x, y := make([]float32, rows*d), make([]float32, columns*d)
	for k := range y {
		y[k] = float32(rng.NormFloat64())
	}
	events := make([][]int32, rows)
	for row := range events {
		for _, e := range rng.Perm(columns)[:row+1] {
			events[row] = append(events[row], int32(e))
		}
	}
	m.solve(x, y, events)
	dot := func(a, b []float32) (sum float64) {
		for k := range a {
			sum += float64(a[k]) * float64(b[k])
		}
		return sum
	}
	for row, own := range events {
		at := x[row*d:][:d]
		left := make([]float64, d)
		add := func(w float64, v []float32) {
			for k := range left {
				left[k] += w * float64(v[k])
			}
		}
		for c := range columns {
			v := y[c*d:][:d]
			add(m.unobserved*dot(at, v), v)
		}
		for _, e := range own {
			v := y[int(e)*d:][:d]
			add(dot(at, v)-1, v)
		}
		add(m.regular*(float64(len(own))+m.unobserved*columns), at)
		for k, v := range left {
			if math.Abs(v) > 1e-3 {
				t.Fatalf("a row of %d events: element %d of the equations is off by %g", len(own), k, v)
			}
		}
	}
}

func TestMeasuresByHand(t *testing.T) {
	task := task{
		train: []interaction{{user: "u", item: "a"}, {user: "u", item: "b"}, {user: "v", item: "c"}},
		truth: map[string][]string{"u": {"x", "y"}, "v": {"z"}},
	}
	got, err := measure(fixedLists{"u": {"q", "x"}, "v": {"a"}}, &task)
	if err != nil {
		t.Fatal(err)
	}
	want := gain(1) / ideal(2) / 2
	if got.Recall20 != 0.25 || got.NDCG10 != want || got.NDCG20 != want || got.Coverage != 1 {
		t.Errorf("%+v, want recall 0.25, NDCG %v", got, want)
	}
}

type fixedLists map[string][]string

func (f fixedLists) lists(*task, []string) (map[string][]string, error) { return f, nil }

func TestSplitsHoldOutWhatTheySay(t *testing.T) {
	var rows []interaction
	for k := range int64(10) {
		rows = append(rows, interaction{"u", string(rune('a' + k)), k}, interaction{"v", string(rune('a' + k)), 5})
	}
	c := &collection{all: rows}
	c.finish()
	rng := rand.New(rand.NewPCG(1, 1))
	if got := leaveOneOut(c.all, rng); !slices.Equal(got.truth["u"], []string{"j"}) || len(got.train) != 18 {
		t.Errorf("leave one out: %v, %d left", got.truth, len(got.train))
	}
	if got := randomSplit(c.all, rng); len(got.truth["u"]) != 2 || len(got.truth["v"]) != 2 || got.train[3].time != 0 {
		t.Errorf("random split: %v", got.truth)
	}
	if got := byTime(c.all, rng); !slices.Equal(got.truth["u"], []string{"f", "g", "h", "i", "j"}) && len(got.truth["u"]) == 0 {
		t.Errorf("by time: %v", got.truth)
	}
}
