package recipe

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/palate-dev/palate/internal/schema"
)

// priced are items whose price grows with their number; those of unlisted are left out.
func priced(t *testing.T, items int, unlisted ...string) *Attributes {
	b := NewAttributesBuilder(parse(t, "Items", "ITEM_ID:string", "PRICE:double"), every)
	for n := range items {
		if id := fmt.Sprintf("item-%04d", n); !slices.Contains(unlisted, id) {
			b.Add([]schema.Value{str(id), num(float64(n))})
		}
	}
	return b.Attributes()
}

func TestAnObjectiveRaisesWhatIsWorthMore(t *testing.T) {
	d := Data{Events: makeEvents(walks(3, 200, 50, 10)), Items: priced(t, 50, "item-0049")}
	worth := func(list []Scored) (sum float64) {
		for k, s := range list {
			var n float64
			if _, err := fmt.Sscanf(s.Item, "item-%f", &n); err != nil {
				t.Fatal(err)
			}
			sum += n / float64(k+1)
		}
		return sum
	}
	q := Query{N: 50, Live: live("item-0020", "item-0021")}
	plain, _ := trainOn(t, d, Config{Recipe: personalizationV1, Seed: 1})
	last := -1.0
	for _, sensitivity := range []string{"OFF", "LOW", "MEDIUM", "HIGH"} {
		o, err := NewOptimization("price", sensitivity)
		if err != nil {
			t.Fatal(err)
		}
		m, manifest := trainOn(t, d, Config{Recipe: personalizationV1, Seed: 1, Objective: o})
		list := m.Recommend(q, nil)
		sum := 0.0
		for k, s := range list {
			sum += s.Score
			if !s.HasScore || k > 0 && s.Score > list[k-1].Score {
				t.Errorf("%s: place %d: %+v", sensitivity, k, s)
			}
		}
		if len(list) != 50 || math.Abs(sum-1) > 1e-5 {
			t.Errorf("%s: scores of %d items sum to %v", sensitivity, len(list), sum)
		}
		if sensitivity == "OFF" && !slices.Equal(ids(list), ids(plain.Recommend(q, nil))) {
			t.Error("OFF changes the order")
		}
		if w := worth(list); w <= last {
			t.Errorf("%s: worth %v, the sensitivity below %v", sensitivity, w, last)
		} else {
			last = w
		}
		if v, ok := manifest.Metrics["average_rewards_at_k"]; !ok || v <= 0 || v > 1 {
			t.Errorf("%s: average_rewards_at_k is %v", sensitivity, v)
		}
		if got, want := ids(m.Rank(q, []string{"item-0001", "item-0022", "item-0048"}, nil)), ids(m.Recommend(Query{N: 3, Live: q.Live, Exclude: func(id string) bool {
			return !slices.Contains([]string{"item-0001", "item-0022", "item-0048"}, id)
		}}, nil)); !slices.Equal(got, want) {
			t.Errorf("%s: ranked %v, recommended %v", sensitivity, got, want)
		}
	}
	if _, err := NewOptimization("price", "EXTREME"); err == nil {
		t.Error("there is no such sensitivity")
	}
}

func TestValuesOfStrangeAttributes(t *testing.T) {
	for name, numbers := range map[string][]float64{
		"all the same": {5, 5, 5}, "none": {math.NaN(), math.NaN(), math.NaN()}, "the widest": {-math.MaxFloat64, 0, math.MaxFloat64}, "infinite": {math.Inf(1), 1, 2},
	} {
		rows := &Attributes{IDs: []string{"a", "b", "c"}, Columns: []Column{{Name: "V", Kind: Number, Number: numbers}}}
		g := newGoal(&Optimization{"V", 2}, rows, []int32{0, 1, -1, 2})
		for i, v := range g.value {
			if !(v >= leastValue && v <= 1) || math.IsNaN(g.weigh(g.value[i], 1e-9)) {
				t.Errorf("%s: value %d is %v", name, i, v)
			}
		}
	}
	if g := newGoal(&Optimization{"W", 3}, nil, []int32{-1}); g.value[0] != leastValue {
		t.Error("without the column")
	}
}
