package recipe

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// evaluate runs the evaluation over pairs of list and truth, all of weight 1.
func evaluateLists(items int, lists, truths [][]int32) map[string]float64 {
	e := newEvaluation(items, false)
	for n, list := range lists {
		e.add(list, truth{item: truths[n], gain: slices.Repeat([]float64{1}, len(truths[n]))})
	}
	return e.metrics(items)
}

func TestReciprocalRankOfTheWorkedExample(t *testing.T) {
	list := []int32{0, 1, 2, 3, 4, 5, 6}
	got := evaluateLists(10, [][]int32{list, list, list}, [][]int32{{3}, {1}, {5}}) // ranks 4, 2, 6
	if got["mean_reciprocal_rank_at_25"] != 0.3056 {
		t.Errorf("got %v, want 0.3056", got["mean_reciprocal_rank_at_25"])
	}
}

func TestNDCGOfTheWorkedExample(t *testing.T) {
	got := evaluateLists(10, [][]int32{{0, 1, 2, 3, 4}}, [][]int32{{1, 4}}) // hits at 2 and 5
	if got["normalized_discounted_cumulative_gain_at_5"] != 0.6241 {
		t.Errorf("got %v, want 0.6241", got["normalized_discounted_cumulative_gain_at_5"])
	}
	if got["precision_at_5"] != 0.4 || got["precision_at_10"] != 0.2 || got["precision_at_25"] != 0.08 {
		t.Errorf("precision: %v", got)
	}
}

func TestEventWeightsOfTheWorkedExampleAreRelativeToTheirMean(t *testing.T) {
	cfg := Config{Recipe: personalizationV2, EventsConfig: []EventWeight{{Type: "purchase", Weight: 0.3}, {Type: "click", Weight: 0.1}}}
	entry, _ := Find(cfg.Recipe)
	ev := makeEvents([]testEvent{{"u", "a", "click", 1, 0}, {"u", "b", "purchase", 2, 0}})
	in := newInput(&cfg, entry, newAdmission(&cfg, entry), Data{Events: ev})
	for at, want := range []float64{0.5, 1.5} {
		if got := in.gain(int64(at)); math.Abs(got-want) > 1e-4 {
			t.Errorf("gain of event %d is %v, want %v", at, got, want)
		}
	}
	e := newEvaluation(3, true)
	e.add([]int32{0, 2, 1}, truth{item: []int32{0, 1}, gain: []float64{0.5, 1.5}})
	want := round4((0.5/1 + 1.5/math.Log2(4)) / (1.5/1 + 0.5/math.Log2(3)))
	if got := e.metrics(3)["normalized_discounted_cumulative_gain_with_event_weights_at_5"]; got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestMetricsAgreeWithAPlainReimplementation computes every metric a second time, straight from the formulas.
func TestMetricsAgreeWithAPlainReimplementation(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	const items = 40
	var lists, truths [][]int32
	for range 50 {
		var list, truth []int32
		for _, i := range rng.Perm(items)[:10+rng.IntN(depth-9)] {
			list = append(list, int32(i))
		}
		for _, i := range rng.Perm(items)[:1+rng.IntN(12)] {
			truth = append(truth, int32(i))
		}
		lists, truths = append(lists, list), append(truths, truth)
	}
	want := map[string]float64{}
	shown := map[int32]bool{}
	for n, list := range lists {
		rel := func(i int) float64 { // position from 1
			if i <= len(list) && slices.Contains(truths[n], list[i-1]) {
				return 1
			}
			return 0
		}
		for i := 1; i <= 25; i++ {
			if rel(i) == 1 {
				want["mean_reciprocal_rank_at_25"] += 1 / float64(i)
				break
			}
		}
		for _, k := range []int{5, 10, 25} {
			hits, dcg, idcg := 0.0, 0.0, 0.0
			for i := 1; i <= k; i++ {
				hits += rel(i)
				dcg += rel(i) / math.Log(1+float64(i))
				if i <= min(k, len(truths[n])) {
					idcg += 1 / math.Log(1+float64(i))
				}
			}
			want[fmt.Sprintf("precision_at_%d", k)] += hits / float64(k)
			want[fmt.Sprintf("normalized_discounted_cumulative_gain_at_%d", k)] += dcg / idcg
		}
		for _, i := range list {
			shown[i] = true
		}
	}
	for name := range want {
		want[name] = math.Round(want[name]/float64(len(lists))*1e4) / 1e4
	}
	want["coverage"] = math.Round(float64(len(shown))/items*1e4) / 1e4
	if diff := cmp.Diff(want, evaluateLists(items, lists, truths)); diff != "" {
		t.Error(diff)
	}
}

func TestDiscountsAreLogarithms(t *testing.T) {
	for i, d := range discount {
		if math.Abs(d-math.Log2(float64(i+2))) > 1e-14 {
			t.Errorf("discount %d is %v", i, d)
		}
	}
}

func TestOneUserInTenIsATestUserWhoeverElseIsThere(t *testing.T) {
	var events []testEvent
	for u := range 2000 {
		events = append(events, testEvent{user: fmt.Sprintf("u%05d", u), item: "a", time: 1})
	}
	split := func(events []testEvent) map[string]bool {
		cfg := Config{Recipe: popularityCount, Seed: 42}
		entry, _ := Find(cfg.Recipe)
		in := newInput(&cfg, entry, newAdmission(&cfg, entry), Data{Events: makeEvents(events)})
		m := map[string]bool{}
		for u, test := range in.testSet() {
			m[in.ev.Users[u]] = test
		}
		return m
	}
	all, n := split(slices.Clone(events)), 0
	for _, test := range all {
		if test {
			n++
		}
	}
	if n < 150 || n > 250 {
		t.Errorf("%d of 2000 users are test users", n)
	}
	for user, test := range split(slices.Clone(events[500:])) {
		if all[user] != test {
			t.Fatalf("the split of a user depends on others")
		}
	}
	if one := split(slices.Clone(events[:1])); !one["u00000"] {
		t.Error("nobody to measure")
	}
}

func TestTruthIsTheNewestTenthAndAtLeastOneEvent(t *testing.T) {
	for events, want := range map[int]int{1: 1, 2: 1, 9: 1, 10: 1, 19: 1, 20: 2, 100: 10} {
		if got := held(events); got != want {
			t.Errorf("of %d events %d are held out, want %d", events, got, want)
		}
	}
}

// The rows that are not made for the metrics have no part in them.
func TestMetricsAreThoseOfAllRows(t *testing.T) {
	sparse := walks(5, 60, 600, 6)
	sets := slices.Clone(sparse)
	for n := range sets {
		sets[n].time = 0
	}
	cold := genreFans(t)
	for name, d := range map[string]Data{"order": {Events: makeEvents(sparse)}, "sets": {Events: makeEvents(sets)}, "attributes": cold, "world": world(t, nil)} {
		cfg := Config{Recipe: personalizationV2, Seed: 4}
		entry, err := trainable(cfg.Recipe)
		if err != nil {
			t.Fatal(err)
		}
		in, none := newInput(&cfg, entry, newAdmission(&cfg, entry), d), func(string, int64, int64) {}
		if err := in.choose(t.Context(), none); err != nil {
			t.Fatal(err)
		}
		in.choice.spectral = 0.3
		in.compare()
		got, err := in.measurePersonalization(t.Context(), none)
		if err != nil {
			t.Fatal(err)
		}
		test := in.testSet()
		use := func(u int) bool { return in.eligible[u] && !test[u] }
		all, err := in.fit(t.Context(), use, nil, none)
		if err != nil {
			t.Fatal(err)
		}
		want, err := in.evaluate(t.Context(), all.ranker(len(in.items)), test, none)
		if err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: %v, with all rows %v", name, got, want)
		}
		some, err := in.fit(t.Context(), use, in.shown(test), none)
		if err != nil {
			t.Fatal(err)
		}
		if some.carry != all.carry || !slices.Equal(some.prior, all.prior) {
			t.Errorf("%s: carry %v and with all rows %v", name, some.carry, all.carry)
		}
		if (name == "order" || name == "sets") && len(some.rows.item) >= len(all.rows.item) {
			t.Errorf("%s: all rows were made", name)
		}
	}
}
