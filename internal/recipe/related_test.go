package recipe

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// everyItem keeps all items in the training, however popular.
func everyItem(params map[string]string) map[string]string {
	all := map[string]string{
		"min_user_history_length_percentile": "0", "max_user_history_length_percentile": "1",
		"min_item_interaction_count_percentile": "0", "max_item_interaction_count_percentile": "1",
	}
	for name, value := range params {
		all[name] = value
	}
	return all
}

func TestRelatedItemsAreThoseOfThePlainDefinition(t *testing.T) {
	for _, c := range []struct{ discount, fewest string }{{"0.5", "3"}, {"0", "0"}, {"1", "2"}, {"0.3", "1"}} {
		rng := rand.New(rand.NewPCG(9, 9))
		var events []testEvent
		sets := map[string]map[string]bool{}
		for u := range 150 {
			user := fmt.Sprintf("u%03d", u)
			sets[user] = map[string]bool{}
			for k := range 2 + rng.IntN(12) {
				item := fmt.Sprintf("i%02d", int(40*math.Pow(rng.Float64(), 2)))
				sets[user][item] = true
				events = append(events, testEvent{user: user, item: item, kind: "Watch", time: int64(k)})
			}
		}
		dir, _ := train(t, makeEvents(events), nil, Config{Recipe: sims, Params: everyItem(map[string]string{"popularity_discount_factor": c.discount, "min_cointeraction_count": c.fewest})})
		m := open(t, dir)
		discount, _ := strconv.ParseFloat(c.discount, 64)
		fewest, _ := strconv.Atoi(c.fewest)
		for i := range 40 {
			query := fmt.Sprintf("i%02d", i)
			if want := plainRelated(sets, query, discount, max(1, fewest)); len(want) > 0 {
				got := m.Recommend(Query{Item: query, N: 500}, nil)
				if diff := gocmp.Diff(want, ids(got)); diff != "" {
					t.Fatalf("discount %s, at least %s: like %s: %s", c.discount, c.fewest, query, diff)
				}
			}
		}
	}
}

// plainRelated is the definition, one pair of items after the other.
func plainRelated(sets map[string]map[string]bool, query string, discount float64, fewest int) []string {
	type scored struct {
		item  string
		score float32
	}
	weight, together, users := map[string]int64{}, map[string]int{}, map[string]int{}
	for _, set := range sets {
		w := int64(math.Round(one / math.Sqrt(float64(len(set)))))
		for item := range set {
			users[item]++
			if set[query] && item != query {
				weight[item] += w
				together[item]++
			}
		}
	}
	var list []scored
	for item, n := range together {
		if n >= fewest {
			list = append(list, scored{item, float32(float64(weight[item]) / one / math.Pow(float64(users[item]+shrink), discount))})
		}
	}
	slices.SortFunc(list, func(a, b scored) int {
		if math.Abs(float64(a.score-b.score)) > 1e-6*float64(a.score) {
			return cmp.Compare(b.score, a.score)
		}
		return cmp.Compare(a.item, b.item)
	})
	var out []string
	for _, s := range list {
		out = append(out, s.item)
	}
	return out
}

func TestAnItemThatNothingIsKnownAboutGetsPopularItems(t *testing.T) {
	dir, _ := train(t, makeEvents(walks(3, 200, 50, 10)), []string{"cold"}, Config{Recipe: sims, Params: everyItem(nil)})
	m := open(t, dir)
	popular := m.Recommend(Query{Item: "never seen", N: 50}, nil)
	if len(popular) != 50 || popular[0].HasScore {
		t.Fatalf("%v", popular)
	}
	if diff := gocmp.Diff(popular, m.Recommend(Query{Item: "cold", N: 50}, nil)); diff != "" {
		t.Errorf("an item without events: %s", diff)
	}
	if got := ids(m.Recommend(Query{Item: "item-0010", N: 2}, nil)); !slices.Contains(got, "item-0011") || !slices.Contains(got, "item-0009") {
		t.Errorf("like item 10 are %v", got)
	}
	if got := ids(m.Recommend(Query{Item: "item-0010", N: 50}, nil)); slices.Contains(got, "item-0010") {
		t.Error("an item is not related to itself")
	}
	without := m.Recommend(Query{Item: "item-0010", N: 1, Exclude: func(id string) bool { return id == "item-0011" || id == "item-0009" }}, nil)
	if len(without) != 1 || without[0].Item == "item-0011" || without[0].Item == "item-0009" {
		t.Errorf("excluded: %v", without)
	}
}

func TestItemsBeyondThePercentilesAreLeftOut(t *testing.T) {
	var events []testEvent
	for u := range 50 {
		for _, item := range []string{"all", "even", "odd"} {
			if item == "all" || item == "even" == (u%2 == 0) {
				events = append(events, testEvent{user: fmt.Sprintf("u%02d", u), item: item, time: 1})
			}
		}
		events = append(events, testEvent{user: fmt.Sprintf("u%02d", u), item: fmt.Sprintf("few-%d", u%5), time: 2})
	}
	params := everyItem(map[string]string{"min_cointeraction_count": "1", "max_item_interaction_count_percentile": "0.8"})
	dir, _ := train(t, makeEvents(events), nil, Config{Recipe: sims, Params: params})
	m := open(t, dir)
	if got := ids(m.Recommend(Query{Item: "even", N: 10}, nil)); slices.Contains(got, "all") || len(got) == 0 {
		t.Errorf("like even are %v", got)
	}
}

func TestRelatedItemsBeatPopularityWhereItemsBelongTogether(t *testing.T) {
	ev := makeEvents(walks(1, 400, 60, 12))
	_, popular := train(t, ev, nil, Config{Recipe: popularityCount})
	_, related := train(t, ev, nil, Config{Recipe: sims, Params: everyItem(nil)})
	const name = "normalized_discounted_cumulative_gain_at_10"
	if p, q := popular.Metrics[name], related.Metrics[name]; q < 0.2 || q < 2*p {
		t.Errorf("NDCG@10 is %v, popularity's %v", q, p)
	}
}

func TestPowerIsThePower(t *testing.T) {
	for _, n := range []int{1, 2, 7, 1000, 123456789} {
		for _, p := range []float64{0, 1e-3, 0.25, 1.0 / 3, 0.5, 0.9, 1} {
			if got, want := power(n, p), math.Pow(float64(n), p); math.Abs(got-want) > 1e-7*want {
				t.Errorf("%d^%v = %v, want %v", n, p, got, want)
			}
		}
	}
}

func TestRankOrdersAListAsRecommendWould(t *testing.T) {
	for _, recipe := range []string{"aws-personalized-ranking", "aws-personalized-ranking-v2"} {
		dir, manifest := train(t, makeEvents(walks(3, 200, 50, 10)), []string{"cold-1", "cold-2"}, Config{Recipe: recipe, Seed: 1})
		m := open(t, dir)
		if manifest.Metrics["normalized_discounted_cumulative_gain_at_10"] == 0 {
			t.Errorf("%s: not measured", recipe)
		}
		q := Query{N: 60, Live: live("item-0010", "item-0011")}
		whole := m.Recommend(q, nil)
		list := []string{"cold-2", "item-0030", "unknown", "item-0012", "item-0030", "item-0040", "cold-1", "item-0013"}
		got := m.Rank(q, list, nil)
		var want []string
		for _, s := range whole {
			if slices.Contains(list, s.Item) {
				want = append(want, s.Item)
			}
		}
		want = append(want, "cold-2", "unknown", "cold-1")
		if diff := gocmp.Diff(want, ids(got)); diff != "" {
			t.Errorf("%s: %s", recipe, diff)
		}
		sum := 0.0
		for k, s := range got {
			if s.HasScore != (k < 4) || k > 0 && s.Score > got[k-1].Score {
				t.Errorf("%s: place %d: %+v", recipe, k, s)
			}
			sum += s.Score
		}
		if math.Abs(sum-1) > 1e-6 {
			t.Errorf("%s: scores sum to %v", recipe, sum)
		}
		q.Exclude = func(id string) bool { return id == "item-0012" || id == "unknown" }
		if got := ids(m.Rank(q, list, nil)); slices.Contains(got, "item-0012") || slices.Contains(got, "unknown") || len(got) != 5 {
			t.Errorf("%s: excluded: %v", recipe, got)
		}
		if all := m.Rank(Query{}, []string{"unknown", "cold-1"}, nil); len(all) != 2 || all[0].HasScore {
			t.Errorf("%s: only cold items: %v", recipe, all)
		}
	}
}
