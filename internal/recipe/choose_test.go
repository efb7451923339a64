package recipe

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// Candidates that are rated in one pass over the questions have the ratings that they have alone.
func TestRatingsDoNotDependOnCompany(t *testing.T) {
	entry, err := trainable("aws-user-personalization-v2")
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Recipe: entry.Name, Seed: 3}
	in := newInput(&cfg, entry, newAdmission(&cfg, entry), Data{Events: makeEvents(walks(5, 200, 60, 12))})
	c := in.gatherFirst(func(int) bool { return true }, func(n int) int { return n - n/4 })
	best := c.start()
	var others []choice
	for _, prior := range []float64{0.1, 0.6, 2.5} {
		other := best
		other.prior, other.recency = prior, 2.0/3
		others = append(others, other)
	}
	together := newJudge(c)
	if _, err := together.quality(context.Background(), best, [][]choice{others}); err != nil {
		t.Fatal(err)
	}
	for _, candidate := range append(others, best) {
		rating, err := newJudge(c).quality(context.Background(), candidate, nil)
		if err != nil {
			t.Fatal(err)
		}
		if rated, ok := together.rated[candidate]; !ok || !slices.Equal(rated, rating) {
			t.Errorf("%+v was rated %v (%v) beside others and %v alone", candidate, rated, ok, rating)
		}
	}
}

func TestSortByItem(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, radixLeast, 300, radixMost, radixMost + 1} {
		for _, items := range []int{n + 1, 4000, 70_000, 20_000_000} {
			var list []packed
			for _, i := range random.Perm(max(n, min(items, 100_000)))[:n] {
				list = append(list, pack(int32(i*max(1, items/100_000)), random.Float32()-0.5))
			}
			want := slices.Sorted(slices.Values(list))
			if sortByItem(list); !slices.Equal(list, want) {
				t.Errorf("%d entries of %d items are out of order", n, items)
			}
		}
	}
}

// Where many users say of few items what goes with what, the regression is held back less than where few users with long histories have tastes in common.
func TestTheRidgeFollowsTheData(t *testing.T) {
	chosen := func(users int, history func(random *rand.Rand) []int) choice {
		random := rand.New(rand.NewPCG(8, 9))
		var events []testEvent
		for u := range users {
			for _, item := range history(random) {
				events = append(events, testEvent{user: fmt.Sprintf("user-%04d", u), item: fmt.Sprintf("item-%04d", item)})
			}
		}
		entry, err := trainable("aws-user-personalization-v2")
		if err != nil {
			t.Fatal(err)
		}
		cfg := Config{Recipe: entry.Name, Seed: 3}
		in := newInput(&cfg, entry, newAdmission(&cfg, entry), Data{Events: makeEvents(events)})
		if err := in.choose(context.Background(), func(string, int64, int64) {}); err != nil {
			t.Fatal(err)
		}
		return *in.choice
	}
	many := chosen(4000, func(random *rand.Rand) (items []int) { // a few items at will, some more than others, and mostly the other one of each pair
		for range 4 {
			item := int(80 * random.Float64() * random.Float64())
			items = append(items, item)
			if random.IntN(4) > 0 {
				items = append(items, item^1)
			}
		}
		return items
	})
	few := chosen(150, func(random *rand.Rand) (items []int) { // two of six tastes, and a third of it for no reason
		taste := [2]int{random.IntN(6), random.IntN(6)}
		for range 60 {
			item := random.IntN(600)
			if random.IntN(3) > 0 {
				item = item/6*6 + taste[random.IntN(2)]
			}
			items = append(items, item)
		}
		return items
	})
	if many.ridge >= 1 || few.ridge <= 1 {
		t.Errorf("many users: %+v, few users: %+v", many, few)
	}
}
