package recipe

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/userset"
)

// The factors of a small column, counted by hand.
func TestSituationsFollowBayes(t *testing.T) {
	ev := makeEvents([]testEvent{
		{"u1", "a", "", 1, 0}, {"u1", "a", "", 2, 0}, {"u1", "b", "", 3, 0}, // tv twice: u1 has a there once
		{"u2", "a", "", 1, 0}, {"u2", "c", "", 2, 0}, // phone, nothing known
	})
	ev.Context = []dataset.EventColumn{{Name: "DEVICE", Levels: []string{"phone", "tv"}, Code: []int32{1, 1, 0, 0, -1}}}
	in := &input{ev: ev, items: ev.Items}
	s := in.situate(&ev.Context[0], func(int) bool { return true })
	for _, n := range s.total {
		s.all += int64(n)
	}
	if s.all != 3 { // a on tv, b on the phone, a on the phone
		t.Fatalf("%d pairs", s.all)
	}
	tv := s.at(1)[0]
	for item, want := range map[int32]float64{
		0: (1 + 10/3.) / (2 + 10) * 3,
		1: (0 + 10/3.) / (1 + 10) * 3,
		2: 1, // seen in no known situation
	} {
		if got := float64(tv.factor(item)); math.Abs(got-want) > 1e-6 {
			t.Errorf("item %s on tv: factor %v, want %v", ev.Items[item], got, want)
		}
	}
	if len(tv.head) != 1 || tv.head[0] != 0 {
		t.Errorf("head of tv: %v", tv.head)
	}
	if s := in.situate(&ev.Context[0], func(u int) bool { return u == 1 }); s.at(1) != nil {
		t.Error("a value that no user was in is a situation")
	}
}

func TestEdgesOfBinsAreQuantiles(t *testing.T) {
	for name, c := range map[string]struct {
		sorted []float64
		weight []int64
		want   []float64
	}{
		"none":                {nil, nil, nil},
		"one":                 {[]float64{7}, []int64{9}, nil},
		"few stand alone":     {[]float64{0, 1, 5}, []int64{95, 4, 1}, []float64{1, 5}},
		"as many as bins":     {[]float64{1, 2, 3, 4}, []int64{1, 1, 1, 1}, []float64{2, 3, 4}},
		"quantiles":           {[]float64{1, 2, 3, 4, 5, 6, 7, 8}, []int64{1, 1, 1, 1, 1, 1, 1, 1}, []float64{3, 5, 7}},
		"one outweighs":       {[]float64{1, 2, 3, 4, 5, 6}, []int64{1, 1, 96, 1, 1, 0}, []float64{3}},
		"the least outweighs": {[]float64{1, 2, 3, 4, 5}, []int64{96, 1, 1, 1, 1}, nil},
		"the last outweighs":  {[]float64{-math.MaxFloat64, 2, 3, 4, math.MaxFloat64}, []int64{1, 1, 1, 1, 96}, []float64{math.MaxFloat64}},
	} {
		if diff := cmp.Diff(c.want, quantileEdges(c.sorted, c.weight, 4), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	edges := []float64{2, 5}
	for n, want := range map[float64]int{-9: 0, 1.9: 0, 2: 1, 4.9: 1, 5: 2, 100: 2} {
		if got := binOf(edges, n); got != want {
			t.Errorf("%v is in bin %d, want %d", n, got, want)
		}
	}
}

// hours are users who take the even items in the morning and the odd ones at night, at some minute of the hour.
func hours(users, items int) *dataset.Events {
	var events []testEvent
	at := map[int64]float64{}
	for u := range users {
		for k := range 8 {
			item, time := (5*u+3*k+k*k)%items, int64(1_600_000_000+1000*u+k)
			events = append(events, testEvent{user: fmt.Sprintf("user-%03d", u), item: fmt.Sprintf("item-%03d", item), time: time})
			at[time] = float64(8+12*(item%2)) + float64((17*u+k)%60)/60
		}
	}
	ev := makeEvents(events)
	c := dataset.EventColumn{Name: "HOUR", Numeric: true}
	for _, time := range ev.Time {
		c.Levels = append(c.Levels, dataset.NumberLevel(at[time]))
	}
	slices.Sort(c.Levels)
	c.Levels = slices.Compact(c.Levels)
	for _, time := range ev.Time {
		code, _ := slices.BinarySearch(c.Levels, dataset.NumberLevel(at[time]))
		c.Code = append(c.Code, int32(code))
	}
	ev.Context = []dataset.EventColumn{c}
	return ev
}

// A number counts by its neighbourhood, also one that nobody had.
func TestNumbersOfTheContextCount(t *testing.T) {
	ev := hours(120, 40)
	dir, _ := train(t, ev, nil, Config{Recipe: personalizationV2, Seed: 1})
	m := open(t, dir)
	ask := func(context map[string]string) (odd, all int) {
		for _, s := range m.Recommend(Query{N: 10, Context: context}, nil) {
			if (s.Item[len(s.Item)-1]-'0')%2 == 1 {
				odd++
			}
			all++
		}
		return odd, all
	}
	for hour, night := range map[string]bool{"8.2": false, "8.123456789": false, "-5": false, "20.51": true, "20.777777": true, "1e9": true} {
		odd, all := ask(map[string]string{"hour": hour})
		if night != (odd > all*3/4) || !night != (odd < all/4) {
			t.Errorf("at %s %d of %d items are those of the night", hour, odd, all)
		}
	}
	plain := m.Recommend(Query{N: 10}, nil)
	for _, strange := range []string{"", "NaN", "Inf", "-inf", "late", "8 am", "0x1p-2000"} {
		got := m.Recommend(Query{N: 10, Context: map[string]string{"hour": strange}}, nil)
		if strange != "0x1p-2000" && cmp.Diff(plain, got) != "" {
			t.Errorf("%q says something", strange)
		}
	}
	if n := len(m.contexts[0].edge); n != situationBins-1 {
		t.Errorf("%d edges", n)
	}

	gone := userset.New([]string{"user-000", "user-007", "user-119"})
	to := filepath.Join(t.TempDir(), "to")
	if _, _, err := Retrain(t.Context(), dir, gone, to, nil); err != nil {
		t.Fatal(err)
	}
	rest, _ := ev.Without(gone)
	never, _ := train(t, rest, nil, Config{Recipe: personalizationV2, Seed: 1})
	if diff := cmp.Diff(contents(t, never), contents(t, to)); diff != "" {
		t.Error(diff)
	}
}
