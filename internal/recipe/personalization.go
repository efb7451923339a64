package recipe

import (
	"context"
	"runtime"
	"slices"
	"strconv"

	"github.com/palate-dev/palate/internal/recipe/vec"
)

// fitted is a trained personalization model before it is written or served.
type fitted struct {
	rows    *rows
	prior   []float32
	count   []int64
	decay   []float32
	cold    *estimates  // nil without attributes
	carry   float64     // of cold
	tastes  *userTastes // nil without a Users dataset
	repeats bool
	ordered bool
	lambda  float64
}

// measurePersonalization trains without the test users and measures on them. Rows that have no part in it are not made.
func (in *input) measurePersonalization(ctx context.Context, progress Progress) (map[string]float64, error) {
	test := in.testSet()
	trial, err := in.fit(ctx, func(u int) bool { return in.eligible[u] && !test[u] }, in.shown(test), measured(progress))
	if err != nil {
		return nil, err
	}
	k := trial.ranker(len(in.items))
	k.goal = in.goal()
	return in.evaluate(ctx, k, test, progress)
}

// trainPersonalization measures user-personalization, unless a search has, and trains it on everybody.
func (in *input) trainPersonalization(ctx context.Context, m *Manifest, w *modelWriter, progress Progress) error {
	if m.Metrics == nil {
		var err error
		if m.Metrics, err = in.measurePersonalization(ctx, progress); err != nil {
			return err
		}
	}
	f, err := in.fit(ctx, func(u int) bool { return in.eligible[u] }, nil, progress)
	if err != nil {
		return err
	}
	m.Settings["lambda"] = f.lambda
	m.Settings["core"] = float64(f.rows.core)
	m.Settings["ordered"] = indicator(f.ordered)
	m.Settings["repeats"] = indicator(f.repeats)
	if f.cold != nil {
		m.Settings["carry"] = f.carry
	}
	in.choice.record(m.Settings)
	put(w, "row.offsets", f.rows.offsets)
	put(w, "row.item", f.rows.item)
	put(w, "row.value", f.rows.value)
	put(w, "prior", f.prior)
	put(w, "decay", f.decay)
	f.cold.write(w)
	if in.alike != nil {
		put(w, "cold.useful", in.useful)
	}
	f.tastes.write(w)
	w.situations(in, func(u int) bool { return in.eligible[u] })
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

// beginning is the first so many events of a user.
type beginning struct{ user, events int }

// shown is what the model is shown of the test users.
func (in *input) shown(test []bool) (all []beginning) {
	for u, t := range test {
		if t {
			events := int(in.ev.Offsets[u+1] - in.ev.Offsets[u])
			all = append(all, beginning{u, events - held(events)})
		}
	}
	return all
}

// fit trains on the users that use accepts, after choose, what it takes to answer those that are asked for; nil for whomever.
func (in *input) fit(ctx context.Context, use func(u int) bool, asked []beginning, progress Progress) (*fitted, error) {
	chosen := in.chosen()
	runtime.GC() // what an earlier fit has left must not stand beside this one
	c := in.gather(use)
	f := &fitted{repeats: c.repeats, ordered: c.ordered, lambda: chosen.ridge * c.lambda(c.ordered, chosen.damping)}
	p := parts{corpus: c, reach: in.reach(), core: c.core(), keep: in.keep()}
	f.decay = p.decay(chosen)
	f.count = make([]int64, len(in.items))
	for _, i := range c.item {
		f.count[i]++
	}
	e, err := in.estimate(ctx, f.count, progress)
	if err != nil {
		return nil, err
	}
	sample := in.sample(use, coldUsers)
	if asked != nil {
		p.want = in.speaking(slices.Concat(asked, sample), len(f.decay), e)
	}
	if f.rows, err = p.blend(ctx, chosen, progress); err != nil {
		return nil, err
	}
	s := c.shares()
	f.prior = s.mix(chosen)
	f.tastes = in.learnTastes(f.prior, use)
	return f, in.addEstimates(ctx, f, e, sample)
}

// speaking are the items whose rows have a part in answers to users: those of their latest events, as many as count, and for an item without events those that speak
// for it.
func (in *input) speaking(asked []beginning, latest int, e *estimates) wanted {
	want := make(wanted, len(in.items))
	var steps []step
	for _, a := range asked {
		steps = in.history(steps[:0], a.user, a.events)
		for _, s := range steps[max(0, len(steps)-latest):] {
			want[s.item] = true
		}
	}
	if e != nil {
		for at, i := range e.item {
			if want[i] && e.own[at] == 0 {
				near, _ := e.near.of(int32(at))
				for _, k := range near[:min(len(near), coldSources)] {
					want[k] = true
				}
			}
		}
	}
	return want
}

// ranker serves the model with scores for the first items of the order by prior.
func (f *fitted) ranker(scored int) *ranker {
	k := newRanker(f.rows, f.prior, byPrior(f.prior, f.cold.known(f.count)), f.decay, !f.repeats, scored)
	k.cold, k.tastes = f.cold, f.tastes
	return k
}

// lambda is the strength of a ridge before the data have been asked. It is flat around its best value; on little data it must give way, or the prior would
// drown the histories.
func (c *corpus) lambda(ordered, damping bool) float64 {
	if ordered {
		return min(150, max(20, float64(len(c.item))/64))
	}
	trace := int64(0) // of the Gram matrix, about
	weight := undamped
	if damping {
		weight = halfDamped
	}
	for u := range c.users() {
		n := min(basketSize, int(c.offsets[u+1]-c.offsets[u]))
		trace += int64(n) * weight(max(1, n))
	}
	return max(5, 4*float64(trace)/one/float64(max(1, c.items)))
}

// Decay per event, before it is tuned.
const (
	sparseDecay = 0.8
	basketDecay = 0.9
)

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
	users := in.shown(test)
	lists := make([][]int32, len(users))
	asked := newMeter(progress, "evaluation", len(users))
	err := vec.Parallel(ctx, len(users), func(n, _ int) {
		defer asked.add(1)
		u := users[n].user
		s := k.acquire()
		defer k.release(s)
		s.values = k.tastes.of(s.values, in.userRow(u))
		k.relevance(s, in.history(nil, u, users[n].events))
		longest := depth
		if k.goal != nil {
			longest = recommended
		}
		for _, r := range k.top(s, longest, nil) {
			lists[n] = append(lists[n], r.item)
		}
	})
	if err != nil {
		return nil, err
	}
	e := newEvaluation(len(in.items), len(in.admit.weights) > 0)
	var gained rewards
	for n, shown := range users {
		t := in.truthOf(shown.user)
		e.add(lists[n][:min(depth, len(lists[n]))], t)
		if k.goal != nil {
			gained.add(k.goal, lists[n], t)
		}
	}
	metrics := e.metrics(len(in.items))
	if k.goal != nil {
		metrics["average_rewards_at_k"] = gained.mean()
	}
	return metrics, nil
}
