package recipe

import (
	"context"
	"strconv"

	"github.com/palate-dev/palate/internal/recipe/vec"
)

// fitted is a trained personalization model before it is written or served.
type fitted struct {
	rows    *rows
	prior   []float32
	count   []int64
	decay   []float32
	repeats bool
	ordered bool
	lambda  float64
	rate    int64 // decay per event, in units of 2⁻¹⁶
}

// measurePersonalization trains without the test users and measures on them.
func (in *input) measurePersonalization(ctx context.Context, progress Progress) (map[string]float64, error) {
	test := in.testSet()
	trial, err := in.fit(ctx, func(u int) bool { return in.eligible[u] && !test[u] }, measured(progress))
	if err != nil {
		return nil, err
	}
	return in.evaluate(ctx, trial.ranker(len(in.items)), test, progress)
}

// trainPersonalization measures user-personalization, unless a search has, and trains it on everybody.
func (in *input) trainPersonalization(ctx context.Context, m *Manifest, w *modelWriter, progress Progress) error {
	if m.Metrics == nil {
		var err error
		if m.Metrics, err = in.measurePersonalization(ctx, progress); err != nil {
			return err
		}
	}
	f, err := in.fit(ctx, func(u int) bool { return in.eligible[u] }, progress)
	if err != nil {
		return err
	}
	m.Settings["lambda"] = f.lambda
	m.Settings["decay"] = float64(f.rate) / one
	m.Settings["ordered"] = indicator(f.ordered)
	m.Settings["repeats"] = indicator(f.repeats)
	put(w, "row.offsets", f.rows.offsets)
	put(w, "row.item", f.rows.item)
	put(w, "row.value", f.rows.value)
	put(w, "prior", f.prior)
	put(w, "decay", f.decay)
	count, first := in.appearances()
	put(w, "item.count", count)
	put(w, "item.first", first)
	return nil
}

func indicator(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// fit trains on the users that use accepts.
func (in *input) fit(ctx context.Context, use func(u int) bool, progress Progress) (*fitted, error) {
	c := in.gather(use)
	f := &fitted{repeats: c.repeats, ordered: c.ordered, lambda: c.lambda(), rate: c.decayRate()}
	reach := in.reach()
	var err error
	if f.rows, err = solve(ctx, c, reach, f.lambda, in.keep(), progress); err != nil {
		return nil, err
	}
	f.prior = c.prior(in.recent())
	f.count = make([]int64, len(in.items))
	for i := range f.prior {
		f.prior[i] *= priorWeight
	}
	for _, i := range c.item {
		f.count[i]++
	}
	if c.ordered {
		for _, w := range geometric(f.rate, reach)[1:] {
			f.decay = append(f.decay, float32(float64(w)/one))
		}
		return f, nil
	}
	for range basketSize {
		f.decay = append(f.decay, 1)
	}
	return f, nil
}

// ranker serves the model with scores for the first items of the order by prior.
func (f *fitted) ranker(scored int) *ranker {
	return newRanker(f.rows, f.prior, byPrior(f.prior, f.count), f.decay, !f.repeats, scored)
}

// lambda is the strength of the ridge. It is flat around its best value; on little data it must give way, or the prior would drown the histories.
func (c *corpus) lambda() float64 {
	n := float64(len(c.item))
	if c.ordered {
		return min(200, max(20, n/64))
	}
	return min(1000, max(20, 4*n/float64(max(1, c.items))))
}

// Decay per event, in units of 2⁻¹⁶. They were chosen on next-item prediction over films (short and long histories) and retail (baskets).
const (
	shortDecay  = 52429 // 0.8
	longDecay   = 55706 // 0.85
	basketDecay = 58982 // 0.9
	longHistory = 30    // mean events of a user from which histories are long
)

// decayRate is how fast events lose weight: fastest in short histories, slowest where baskets hold many events of one moment.
func (c *corpus) decayRate() int64 {
	switch {
	case !c.ordered:
		return one
	case c.baskets:
		return basketDecay
	case len(c.item) >= longHistory*c.users():
		return longDecay
	}
	return shortDecay
}

// reach is how many of a user's latest events count: what a recurrent network's backpropagation through time spans.
func (in *input) reach() int {
	if text, ok := in.param("bptt"); ok {
		if n, err := strconv.Atoi(text); err == nil && n > 0 {
			return min(n, reachDefault)
		}
	}
	return reachDefault
}

// keep is how many entries a row keeps. It is what hidden_dimension means here: a model in closed form has no hidden layer, but like the width of one this is how
// much the model can tell apart of what leads to what, and its size and the time of its answers grow with it.
func (in *input) keep() int {
	if text, ok := in.param("hidden_dimension"); ok {
		if n, err := strconv.Atoi(text); err == nil && n > 0 {
			return rowEntries * min(n, 4*dimensionDefault) / dimensionDefault
		}
	}
	return rowEntries
}

// recent says whether the prior looks at recent events in particular.
func (in *input) recent() bool {
	for _, name := range []string{"recency_mask", "apply_recency_bias"} {
		if text, ok := in.param(name); ok && text == "false" {
			return false
		}
	}
	return true
}

// appearances counts each item's events and finds its first one, 0 without.
func (in *input) appearances() (count, first []int64) {
	count, first = make([]int64, len(in.items)), make([]int64, len(in.items))
	for at, i := range in.ev.Item {
		if count[i] == 0 || in.ev.Time[at] < first[i] {
			first[i] = in.ev.Time[at]
		}
		count[i]++
	}
	return count, first
}

// evaluate measures a ranker on the test users.
func (in *input) evaluate(ctx context.Context, k *ranker, test []bool, progress Progress) (map[string]float64, error) {
	var users []int
	for u, t := range test {
		if t {
			users = append(users, u)
		}
	}
	lists := make([][]int32, len(users))
	err := vec.Parallel(ctx, len(users), func(n, _ int) {
		u := users[n]
		events := int(in.ev.Offsets[u+1] - in.ev.Offsets[u])
		s := k.acquire()
		defer k.release(s)
		k.relevance(s, in.history(nil, u, events-held(events)))
		for _, r := range k.top(s, depth, nil) {
			lists[n] = append(lists[n], r.item)
		}
	})
	if err != nil {
		return nil, err
	}
	e := newEvaluation(len(in.items), len(in.admit.weights) > 0)
	for n, u := range users {
		e.add(lists[n], in.truthOf(u))
	}
	progress("evaluation", int64(len(users)), int64(len(users)))
	return e.metrics(len(in.items)), nil
}
