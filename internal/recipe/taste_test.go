package recipe

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/palate-dev/palate/internal/schema"
)

// groups are users of two lands, young and old, each of whom mostly takes items of a quarter that land and age decide; a few of each have attributes only.
func groups(t *testing.T) Data {
	t.Helper()
	rng := rand.New(rand.NewPCG(5, 1))
	var events []testEvent
	people := NewAttributesBuilder(parse(t, "Users", "USER_ID:string", "LAND:string?/categorical", "AGE:int?"), every)
	for u := range 640 {
		user, quarter := fmt.Sprintf("user-%03d", u), u%4
		people.Add([]schema.Value{str(user), str([]string{"north", "south"}[quarter/2]), whole(int64(20 + 40*(quarter%2) + rng.IntN(10)))})
		for k := range 8 {
			item := genreItem(quarter, rng.IntN(15))
			if rng.IntN(8) == 0 {
				item = genreItem(rng.IntN(4), rng.IntN(15))
			}
			if u < 620 {
				events = append(events, testEvent{user: user, item: item, time: int64(1_600_000_000 + 100*u + k)})
			}
		}
	}
	return Data{Events: makeEvents(events), Users: people.Attributes()}
}

func TestUsersWithoutHistoryGetWhatTheirLikeTake(t *testing.T) {
	for _, recipe := range []string{personalizationV1, personalizationV2} {
		m, err := Open(trainData(t, groups(t), Config{Recipe: recipe, Seed: 2}))
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		of := func(user string, quarter int) (n int) {
			for _, item := range names(m.Recommend(Query{User: user, Known: true, N: 10}, nil)) {
				if ofGenre(item, quarter) {
					n++
				}
			}
			return n
		}
		for u := 620; u < 640; u++ {
			user := fmt.Sprintf("user-%03d", u)
			if n := of(user, u%4); n < 8 {
				t.Errorf("%s: %d of 10 items are of the quarter of a user without history", recipe, n)
			}
			list := []string{genreItem((u+1)%4, 3), genreItem(u%4, 3)}
			if first := m.Rank(Query{User: user, Known: true}, list, nil)[0].Item; first != list[1] {
				t.Errorf("%s: ranked first for a user of quarter %d: %s", recipe, u%4, first)
			}
			hidden := names(m.Recommend(Query{User: user, N: 10}, nil)) // while an erasure hides the user
			if plain := names(m.Recommend(Query{User: "nobody", Known: true, N: 10}, nil)); !slices.Equal(hidden, plain) {
				t.Errorf("%s: attributes of a hidden user are used", recipe)
			}
		}
	}
}

// A history says more than attributes, the more so the longer it is.
func TestHistoryOutweighsAttributes(t *testing.T) {
	d := groups(t)
	land := d.Users.column("LAND")
	for r := range d.Users.IDs { // a stranger: lives in the south, takes what the north takes
		if d.Users.IDs[r] == "user-000" {
			land.Cell[r] = 1 - land.Cell[r]
		}
	}
	m, err := Open(trainData(t, d, Config{Recipe: personalizationV2, Seed: 2}))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	own := 0
	for _, item := range names(m.Recommend(Query{User: "user-000", Known: true, N: 5}, nil)) {
		if ofGenre(item, 0) {
			own++
		}
	}
	if own < 4 {
		t.Errorf("%d of 5 items are of the kind that the user takes", own)
	}
	for steps := range 40 {
		if tasteWeight(steps+1) > tasteWeight(steps) {
			t.Errorf("attributes count more beside %d steps than beside %d", steps+1, steps)
		}
	}
}

func TestNumbersOfUsersAreBinned(t *testing.T) {
	c := &Column{Kind: Number}
	for n := range 100 {
		c.Number = append(c.Number, float64(n%10))
	}
	c.Number = append(c.Number, math.NaN(), math.Inf(1), math.Inf(-1))
	edges := binEdges(c)
	if len(edges) == 0 || len(edges) >= tasteBins || !slices.IsSorted(edges) || edges[0] <= 0 {
		t.Fatalf("edges %v", edges)
	}
	col := tasteColumn{Column: c, edge: edges, first: 7}
	for row, n := range c.Number {
		v := col.of(nil, row)
		switch {
		case !finite(n):
			if v != nil {
				t.Errorf("%v has the value %v", n, v)
			}
		case len(v) != 1 || v[0] < 7 || v[0] >= 7+col.values():
			t.Errorf("%v has the values %v", n, v)
		}
	}
	if e := binEdges(&Column{Kind: Number, Number: []float64{3, 3, 3}}); e != nil {
		t.Errorf("a constant column has edges %v", e)
	}
	if e := binEdges(&Column{Kind: Number, Number: []float64{math.NaN()}}); e != nil {
		t.Errorf("an empty column has edges %v", e)
	}
}

// The row of a value, counted by hand.
func TestTastesFollowBayes(t *testing.T) {
	ev := makeEvents([]testEvent{
		{"u1", "a", "", 1, 0}, {"u1", "a", "", 2, 0}, {"u1", "b", "", 3, 0}, // a counts once
		{"u2", "a", "", 1, 0},
		{"u3", "c", "", 1, 0},
		{"u4", "c", "", 1, 0}, // nothing known
	})
	people := NewAttributesBuilder(parse(t, "Users", "USER_ID:string", "LAND:string?/categorical"), every)
	for _, row := range [][2]string{{"u1", "north"}, {"u2", "north"}, {"u3", "south"}} {
		people.Add([]schema.Value{str(row[0]), str(row[1])})
	}
	in := &input{ev: ev, items: ev.Items, userRows: people.Attributes()}
	tastes := in.learnTastes([]float32{0.25, 0.25, 0.5}, func(int) bool { return true })
	items, values := tastes.rows.of(0)
	if !slices.Equal(items, []int32{0, 1, 2}) {
		t.Fatalf("items %v", items)
	}
	const share, trust = 3 / 4.0, 3 / (3 + 10*4/3.0)
	for i, given := range []float64{(2 + 10*share) / (2 + 10), (1 + 10*share) / (1 + 10), (0 + 10*share) / (1 + 10)} {
		want := []float64{0.25, 0.25, 0.5}[i] * trust * (given/share - 1)
		if math.Abs(float64(values[i])-want) > 1e-6 {
			t.Errorf("item %s: %v, want %v", ev.Items[i], values[i], want)
		}
	}
	if items, _ := tastes.rows.of(1); len(items) != 0 {
		t.Errorf("a value of a single user has the row %v", items)
	}
}
