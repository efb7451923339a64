package recipe

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/palate-dev/palate/internal/quota"
	"github.com/palate-dev/palate/internal/schema"
)

// films are the items of walks with a genre for each ten of them, a director for each two and a plot; and some that nobody has seen.
func films(t *testing.T, items int, unseen ...string) *Attributes {
	b := NewAttributesBuilder(parse(t, "Items", "ITEM_ID:string", "TITLE:string?/itemName", "GENRES:string?/categorical", "DIRECTOR:string?/categorical",
		"PLOT:string?/textual", "YEAR:int?"), every)
	add := func(id string, n int) {
		b.Add([]schema.Value{
			str(id), str(fmt.Sprintf("Part %d of the saga", n)), str(fmt.Sprintf("genre-%d|film", n/10)), str(fmt.Sprintf("director-%d", n/2)),
			str(fmt.Sprintf("<p>The hero number%d meets&nbsp;number%d.</p>", n/10, (n+1)/10)), whole(int64(1950 + n)),
		})
	}
	for n := range items {
		add(fmt.Sprintf("item-%04d", n), n)
	}
	for k, id := range unseen {
		add(id, 14+10*k)
	}
	return b.Attributes()
}

// trainOn trains on data with attributes.
func trainOn(t *testing.T, d Data, cfg Config) (*Model, *Manifest) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "model")
	m, err := Train(context.Background(), d, cfg, quota.Limits{}, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return open(t, dir), m
}

func TestItemsThatNobodyHasSeenAreSimilarByTheirAttributes(t *testing.T) {
	d := Data{Events: makeEvents(walks(3, 300, 40, 10)), Items: films(t, 40, "cold-1", "cold-2")}
	m, manifest := trainOn(t, d, Config{Recipe: similarItems})
	if got := ids(m.Recommend(Query{Item: "cold-1", N: 2}, nil)); !slices.Contains(got, "item-0014") || !slices.Contains(got, "item-0015") {
		t.Errorf("like a film by the director of items 14 and 15 are %v", got)
	}
	if got := ids(m.Recommend(Query{Item: "item-0014", N: 12}, nil)); !slices.Contains(got, "cold-1") || slices.Contains(got, "cold-2") {
		t.Errorf("like item 14 are %v", got)
	}
	if got := ids(m.Recommend(Query{Item: "item-0030", N: 2}, nil)); !slices.Contains(got, "item-0029") || !slices.Contains(got, "item-0031") {
		t.Errorf("what is taken together with item 30 is %v", got)
	}
	popular := ids(m.Recommend(Query{Item: "never heard of", N: 40}, nil))
	if len(popular) != 40 || slices.Contains(popular, "cold-1") {
		t.Errorf("like an unknown item are %v", popular)
	}
	if manifest.Metrics["normalized_discounted_cumulative_gain_at_10"] < 0.2 {
		t.Errorf("metrics %v", manifest.Metrics)
	}
}

func TestColumnsThatSayNothingHardlyCount(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	b := NewAttributesBuilder(parse(t, "Items", "ITEM_ID:string", "AREA:string?/categorical", "NOISE:string?/categorical"), every)
	for n := range 100 {
		b.Add([]schema.Value{str(fmt.Sprintf("item-%04d", n)), str(fmt.Sprint(n / 5)), str(fmt.Sprint(rng.IntN(20)))})
	}
	ev := makeEvents(walks(3, 400, 100, 20))
	cfg := Config{Recipe: similarItems}
	recipe, _ := Find(cfg.Recipe)
	in := newInput(&cfg, recipe, newAdmission(&cfg, recipe), Data{Events: ev, Items: b.Attributes()})
	var blocks []*block
	for i := range in.itemRows.Columns {
		of, _ := in.itemRows.Columns[i].block(words)
		blocks = append(blocks, of)
	}
	useful := in.usefulness(blocks, in.itemRow(), func(int) bool { return true })
	if useful[0] < 0.8 || useful[1] > 0.2 {
		t.Errorf("usefulness of area and noise is %v", useful)
	}
}

// TestSearchesFindWhatIsMostAlike holds the posting lists against the plainest search, where they may read all.
func TestSearchesFindWhatIsMostAlike(t *testing.T) {
	d := Data{Events: makeEvents(walks(3, 100, 60, 10)), Items: films(t, 60, "x", "y")}
	cfg := Config{Recipe: similarItems}
	recipe, _ := Find(cfg.Recipe)
	in := newInput(&cfg, recipe, newAdmission(&cfg, recipe), d)
	c, _ := in.content(trainedColumn, words, func(int) bool { return true })
	var order []int32
	for i := range in.items {
		order = append(order, int32(i))
	}
	x := newContentIndex(c, order, len(order), len(order))
	var s contentSearch
	for i := range order {
		found := map[int32]float32{}
		for _, e := range x.near(int32(i), &s) {
			found[e.item] = e.value
		}
		again := make([]entry, len(order))
		for j := range again {
			again[j].item = int32(j)
		}
		x.measure(int32(i), again, &s)
		if self := c.likeness(int32(i), int32(i)); math.Abs(float64(self)-1) > 1e-5 {
			t.Errorf("item %d is like itself by %v", i, self)
		}
		for j := range order {
			want := c.likeness(int32(i), int32(j))
			if again[j].value != want {
				t.Fatalf("likeness of %d and %d: measured %v, is %v", i, j, again[j].value, want)
			}
			if i == j {
				want = 0
			}
			if found[int32(j)] != want || want != 0 && c.likeness(int32(j), int32(i)) != want {
				t.Fatalf("likeness of %d and %d: found %v, is %v", i, j, found[int32(j)], want)
			}
		}
	}
}

func TestStrangeAttributesDoNotMatter(t *testing.T) {
	ev := makeEvents(walks(3, 100, 20, 10))
	b := NewAttributesBuilder(parse(t, "Items", "ITEM_ID:string", "A:double?", "B:double?", "C:string?/categorical", "D:string?/textual", "E:long?"), every)
	for n := range 20 {
		a := []float64{math.Inf(1), math.Inf(-1), math.NaN(), math.MaxFloat64, -math.MaxFloat64, 5e-324, 0}[n%7]
		b.Add([]schema.Value{str(fmt.Sprintf("item-%04d", n)), num(a), num(7), str("|||"), str("\x00 <"), whole(math.MaxInt64 - int64(n%3))})
	}
	m, _ := trainOn(t, Data{Events: ev, Items: b.Attributes()}, Config{Recipe: similarItems})
	for n := range 20 {
		for _, v := range m.related.value {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				t.Fatal("a similarity is no number")
			}
		}
		if got := m.Recommend(Query{Item: fmt.Sprintf("item-%04d", n), N: 5}, nil); len(got) != 5 {
			t.Errorf("item %d: %v", n, got)
		}
	}
}

func TestLogarithm(t *testing.T) {
	for _, x := range []float64{1, 1.5, 2, 3, 4, 1000, 12345.678, 1 << 40} {
		if got, want := log2(x), math.Log2(x); got > want || want-got > 2e-6 {
			t.Errorf("log2(%v) = %v, want %v", x, got, want)
		}
	}
}
