package recipe

import (
	"context"
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
		if rated, ok := together.rated[candidate]; !ok || rated != rating {
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
