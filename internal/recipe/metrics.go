package recipe

import (
	"math"
	"slices"
)

// Offline metrics. Of the users, one in ten, by a hash of seed and id, is set apart for testing. The model is trained on the others; of a test
// user it is shown the oldest 90 % of events and has to name the items of the newest 10 %, at least one event. The deployed model is then
// trained on everybody.

const (
	testUsers = 10 // one user in so many
	depth     = 25 // length of the lists that are measured
)

// testSet marks the test users.
func (in *input) testSet() []bool { return testDraws(in.cfg.Seed, in.ev.Users) }

// testDraws marks the test users of those with the ids. The smallest draw is one if no other is, so that there always is something to measure.
func testDraws(seed uint64, users []string) []bool {
	test, lowest, least, found := make([]bool, len(users)), 0, uint64(math.MaxUint64), false
	for u, id := range users {
		d := draw(seed, id)
		test[u] = d%testUsers == 0
		found = found || test[u]
		if d < least {
			lowest, least = u, d
		}
	}
	if !found && len(users) > 0 {
		test[lowest] = true
	}
	return test
}

// held is the number of a test user's events that are hidden from the model.
func held(events int) int { return max(1, events/10) }

// truth is a test user's hidden items, each with the weight of its event type as a share of the mean weight.
type truth struct {
	item []int32
	gain []float64
}

// truthOf collects the items of user u's newest events.
func (in *input) truthOf(u int) truth {
	var t truth
	end := in.ev.Offsets[u+1]
	for at := end - int64(held(int(end-in.ev.Offsets[u]))); at < end; at++ {
		item, gain := in.ev.Item[at], in.gain(at)
		if k := slices.Index(t.item, item); k >= 0 {
			t.gain[k] = max(t.gain[k], gain)
			continue
		}
		t.item = append(t.item, item)
		t.gain = append(t.gain, gain)
	}
	return t
}

// gain is the weight of an event's type over the mean of the configured weights.
func (in *input) gain(at int64) float64 {
	sum := 0.0
	for _, w := range in.admit.weights {
		sum += w.Weight
	}
	if sum == 0 {
		return 1
	}
	weight := float64(in.admit.weight(in.ev.Types[in.ev.Type[at]], value(in.ev.Value[at]))) / one * in.admit.heaviest
	return weight * float64(len(in.admit.weights)) / sum
}

// evaluation sums the metrics of test users one after the other.
type evaluation struct {
	weighted bool // also the metrics with event weights
	users    int
	sum      map[string]float64
	shown    []bool // items that occurred in a list
}

func newEvaluation(items int, weighted bool) *evaluation {
	return &evaluation{weighted: weighted, sum: map[string]float64{}, shown: make([]bool, items)}
}

// add measures one list, best item first and at most depth long, against the user's truth.
func (e *evaluation) add(list []int32, t truth) {
	e.users++
	gain := make([]float64, len(list)) // of each place
	hit := make([]float64, len(list))
	first := 0
	for k, item := range list {
		e.shown[item] = true
		if at := slices.Index(t.item, item); at >= 0 {
			gain[k], hit[k] = t.gain[at], 1
			if first == 0 {
				first = k + 1
			}
		}
	}
	if first > 0 {
		e.sum["mean_reciprocal_rank_at_25"] += 1 / float64(first)
	}
	ideal := slices.Repeat([]float64{1}, len(t.item))
	for _, k := range []struct {
		suffix string
		n      int
	}{{"5", 5}, {"10", 10}, {"25", 25}} {
		hits := 0.0
		for _, h := range hit[:min(k.n, len(hit))] {
			hits += h
		}
		e.sum["precision_at_"+k.suffix] += hits / float64(k.n)
		e.sum["normalized_discounted_cumulative_gain_at_"+k.suffix] += ndcg(hit, ideal, k.n)
		if e.weighted {
			e.sum["normalized_discounted_cumulative_gain_with_event_weights_at_"+k.suffix] += ndcg(gain, t.gain, k.n)
		}
	}
}

// ndcg is the discounted gain of the first k places over that of the best order of what is to be found.
func ndcg(gain, ideal []float64, k int) float64 {
	best := slices.Sorted(slices.Values(ideal))
	slices.Reverse(best)
	if d := discounted(best, k); d > 0 {
		return discounted(gain, k) / d
	}
	return 0
}

func discounted(gain []float64, k int) float64 {
	sum := 0.0
	for i, g := range gain[:min(k, len(gain))] {
		sum += g / discount[i]
	}
	return sum
}

// discount[i] is log2(i+2), written out because the last bit of a logarithm is not the same on every machine.
var discount = [depth]float64{
	1, 1.584962500721156, 2, 2.321928094887362, 2.584962500721156, 2.807354922057604, 3, 3.169925001442312, 3.321928094887362,
	3.459431618637297, 3.584962500721156, 3.700439718141092, 3.807354922057604, 3.906890595608519, 4, 4.087462841250339, 4.169925001442312,
	4.247927513443585, 4.321928094887363, 4.392317422778761, 4.459431618637297, 4.523561956057013, 4.584962500721156, 4.643856189774724, 4.700439718141092,
}

// metrics returns the means, rounded to four decimals. items is the number of distinct items over Interactions and Items.
func (e *evaluation) metrics(items int) map[string]float64 {
	names := []string{
		"mean_reciprocal_rank_at_25", "precision_at_5", "precision_at_10", "precision_at_25",
		"normalized_discounted_cumulative_gain_at_5", "normalized_discounted_cumulative_gain_at_10", "normalized_discounted_cumulative_gain_at_25",
	}
	if e.weighted {
		for _, k := range []string{"5", "10", "25"} {
			names = append(names, "normalized_discounted_cumulative_gain_with_event_weights_at_"+k)
		}
	}
	m := map[string]float64{}
	for _, name := range names {
		m[name] = round4(e.sum[name] / float64(max(1, e.users)))
	}
	shown := 0
	for _, s := range e.shown {
		if s {
			shown++
		}
	}
	m["coverage"] = round4(float64(shown) / float64(max(1, items)))
	return m
}

func round4(v float64) float64 { return math.Round(float64(v*1e4)) / 1e4 }
