package main

import (
	"maps"
	"math"
	"slices"
)

const (
	listLength = 20
	ndcgAt     = 10
)

// result is the quality of one method on one task: means over the users.
type result struct {
	NDCG10   float64 `json:"ndcg@10"`
	NDCG20   float64 `json:"ndcg@20"`
	Recall20 float64 `json:"recall@20"`
	Coverage float64 `json:"coverage@10"` // share of the training items in somebody's first ten
}

// method trains on a task and answers with everybody's list, best first: at least listLength items, or all there are, none of them known to the user.
type method interface {
	lists(t *task, want []string) (map[string][]string, error)
}

// measure asks a method about every user with truth.
func measure(m method, t *task) (result, error) {
	want := slices.Sorted(maps.Keys(t.truth))
	lists, err := m.lists(t, want)
	if err != nil {
		return result{}, err
	}
	var r result
	shown, items := map[string]bool{}, map[string]bool{}
	for _, e := range t.train {
		items[e.item] = true
	}
	for _, user := range want {
		list, truth := lists[user], t.truth[user]
		list = list[:min(len(list), listLength)]
		hits := 0.0
		dcg10, dcg20 := 0.0, 0.0
		for place, item := range list {
			if place < ndcgAt {
				shown[item] = true
			}
			if slices.Contains(truth, item) {
				hits++
				dcg20 += gain(place)
				if place < ndcgAt {
					dcg10 += gain(place)
				}
			}
		}
		r.Recall20 += hits / float64(len(truth))
		r.NDCG10 += dcg10 / ideal(min(len(truth), ndcgAt))
		r.NDCG20 += dcg20 / ideal(min(len(truth), listLength))
	}
	n := float64(max(1, len(want)))
	r.Recall20, r.NDCG10, r.NDCG20 = r.Recall20/n, r.NDCG10/n, r.NDCG20/n
	r.Coverage = float64(len(shown)) / float64(max(1, len(items)))
	return r, nil
}

// gain of a hit at a place that is counted from 0.
func gain(place int) float64 { return 1 / math.Log2(float64(place)+2) }

// ideal is the gain of n hits at the first n places.
func ideal(n int) float64 {
	sum := 0.0
	for place := range n {
		sum += gain(place)
	}
	return sum
}

// summary is the mean of a figure over seeds and its standard deviation.
type summary struct{ mean, deviation float64 }

func summarize(values []float64) summary {
	var s summary
	for _, v := range values {
		s.mean += v / float64(len(values))
	}
	if len(values) < 2 {
		return s
	}
	for _, v := range values {
		s.deviation += (v - s.mean) * (v - s.mean) / float64(len(values)-1)
	}
	s.deviation = math.Sqrt(s.deviation)
	return s
}
