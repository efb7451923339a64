package recipe

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/schema"
)

// What each hyperparameter does to a model. Percentiles have their tests beside the code.

// crowd draws users who take many of the items, at random times, some items more often.
func crowd(users, items, length int) []testEvent {
	rng := rand.New(rand.NewPCG(5, 5))
	var events []testEvent
	for u := range users {
		for k := range length/2 + u*length/users { // longer and longer histories
			at := int(float64(items) * rng.Float64() * rng.Float64())
			events = append(events, testEvent{fmt.Sprintf("user-%04d", u), fmt.Sprintf("item-%04d", at), "Watch", int64(1000*u + 60*k), 5})
		}
	}
	return events
}

func TestHiddenDimensionIsTheCapacityOfARow(t *testing.T) {
	events := crowd(30, 120, 80)
	for dimension, want := range map[string]int{"149": rowEntries, "32": 64, "256": 515} {
		in := inputOf(Config{Recipe: personalizationV1, Params: map[string]string{"hidden_dimension": dimension}}, events)
		if got := in.keep(); got != want {
			t.Errorf("dimension %s: %d entries, want %d", dimension, got, want)
		}
	}
	dir, _ := train(t, makeEvents(events), nil, Config{Recipe: personalizationV1, Params: map[string]string{"hidden_dimension": "32"}})
	offsets, err := array[int64](open(t, dir).mapping, "row.offsets")
	if err != nil {
		t.Fatal(err)
	}
	widest := int64(0)
	for i := range len(offsets) - 1 {
		widest = max(widest, offsets[i+1]-offsets[i])
	}
	if widest != 64 {
		t.Errorf("the longest row has %d entries", widest)
	}
}

func TestBpttIsTheReachOfAHistory(t *testing.T) {
	ev := makeEvents(delayed(300, 25))
	quality := func(bptt string) float64 {
		dir, m := train(t, ev, nil, Config{Recipe: personalizationV1, Params: map[string]string{"bptt": bptt}})
		decay, err := array[float32](open(t, dir).mapping, "decay")
		if n, _ := strconv.Atoi(bptt); err != nil || len(decay) != n {
			t.Errorf("bptt %s: a history of %d events counts, %v", bptt, len(decay), err)
		}
		return m.Metrics[searchMetric]
	}
	if short, long := quality("2"), quality("8"); long < 1.5*short {
		t.Errorf("NDCG@25 is %v with a reach that sees the cause and %v without", long, short)
	}
}

func TestRecencyBringsRecentItemsForward(t *testing.T) {
	var events []testEvent // "old" was popular, then "new" was, a little less
	for u := range 100 {
		item, at := "old", int64(u)
		if u >= 55 {
			item, at = "new", int64(10_000_000+u)
		}
		events = append(events, testEvent{fmt.Sprintf("u%03d", u), item, "", at, 0}, testEvent{fmt.Sprintf("u%03d", u), "other", "", at + 1, 0})
	}
	for recipe, name := range map[string]string{personalizationV1: "recency_mask", personalizationV2: "apply_recency_bias"} {
		first := func(value string) string {
			dir, _ := train(t, makeEvents(slices.Clone(events)), nil, Config{Recipe: recipe, Params: map[string]string{name: value}})
			return open(t, dir).Recommend(Query{N: 1, Exclude: func(id string) bool { return id == "other" }}, nil)[0].Item
		}
		if with, without := first("true"), first("false"); with != "new" || without != "old" {
			t.Errorf("%s: %s with %s and %s without", recipe, with, name, without)
		}
	}
}

func TestThePopularityDiscountTakesPopularItemsBack(t *testing.T) {
	var events []testEvent // everybody has "hit"; half of those with "query" have "niche", and nobody else
	for u := range 200 {
		id := fmt.Sprintf("u%03d", u)
		events = append(events, testEvent{id, "hit", "", 1, 0})
		if u < 40 {
			events = append(events, testEvent{id, "query", "", 2, 0})
		}
		if u < 20 {
			events = append(events, testEvent{id, "niche", "", 3, 0})
		}
	}
	for factor, want := range map[string][]string{"0": {"hit", "niche"}, "1": {"niche", "hit"}} {
		params := everyItem(map[string]string{"popularity_discount_factor": factor})
		dir, _ := train(t, makeEvents(slices.Clone(events)), nil, Config{Recipe: sims, Params: params})
		if diff := gocmp.Diff(want, ids(open(t, dir).Recommend(Query{Item: "query", N: 2}, nil))); diff != "" {
			t.Errorf("factor %s: %s", factor, diff)
		}
	}
}

func TestRarePairsNeedTheMinimumOfCointeractions(t *testing.T) {
	var events []testEvent // "query" goes with "pair-n" n times
	for n := range 5 {
		for k := range n {
			id := fmt.Sprintf("u%d-%d", n, k)
			events = append(events, testEvent{id, "query", "", 1, 0}, testEvent{id, fmt.Sprintf("pair-%d", n), "", 2, 0})
		}
	}
	for fewest, want := range map[string]int{"0": 4, "1": 4, "3": 2, "4": 1} {
		params := everyItem(map[string]string{"min_cointeraction_count": fewest})
		dir, _ := train(t, makeEvents(slices.Clone(events)), nil, Config{Recipe: sims, Params: params})
		if got := open(t, dir).Recommend(Query{Item: "query", N: 10}, nil); len(got) != want {
			t.Errorf("at least %s: %v", fewest, got)
		}
	}
}

// TestNoHyperparameterIsWithoutEffect covers recipes that do not exist yet: whatever a trainable recipe offers changes its model.
func TestNoHyperparameterIsWithoutEffect(t *testing.T) {
	ev := makeEvents(crowd(30, 300, 80))
	kinds := NewAttributesBuilder(parse(t, "Items", "ITEM_ID:string", "KIND:string/categorical"), every)
	for n, id := range ev.Items {
		kinds.Add([]schema.Value{str(id), str(fmt.Sprint(n % 2))})
	}
	items := kinds.Attributes()
	acted := makeEvents([]testEvent{{"user", "action", "Viewed", 0, 0}, {"user", "action", "Taken", 20 * daySeconds, 0}})
	for i := range Catalogue {
		e := &Catalogue[i]
		if !e.Trainable || e.Name != e.TrainedAs { // others share a trainer
			continue
		}
		for _, p := range e.Params {
			if p.Kind == ExplorationParam {
				continue
			}
			if p.Name == "recency_mask" || p.Name == "apply_recency_bias" { // has no effect where nothing changes in time: see TestRecencyBringsRecentItemsForward
				continue
			}
			low, high := number(p.Min), number(p.Max)
			if p.Type == Categorical {
				low, high = p.Values[0], p.Values[1]
			}
			base := map[string]string{}
			if p.Name == "popularity_discount_factor" || p.Name == "min_cointeraction_count" {
				base = everyItem(nil)
			}
			models := map[string][]Array{}
			for _, value := range []string{low, high} {
				base[p.Name] = value
				_, m := trainOn(t, Data{Events: ev, Items: items, Acted: acted}, Config{Recipe: e.Name, Params: base})
				models[value] = m.Arrays
			}
			if gocmp.Equal(models[low], models[high]) {
				t.Errorf("%s: %s=%s and %s=%s give the same model", e.Name, p.Name, low, p.Name, high)
			}
		}
	}
}
