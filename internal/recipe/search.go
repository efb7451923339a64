package recipe

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Hyperparameter search. A training that is to choose hyperparameters itself tries a fixed sequence of candidates on the evaluation split: each is
// trained without the test users and measured on them, and the best one by searchMetric trains the model. The candidates are the configuration as it
// stands, where it lies within the ranges, and then points of a Halton sequence (Halton 1960), moved by an offset that follows from the seed
// (Cranley and Patterson 1976): they cover the ranges evenly however few they are, and are the same for the same configuration.
//
// The search is part of the training, not a step before it. So it is a function of data, configuration and seed like all the rest, and
// a model that is trained again without an erased user searches again too: no choice that the user had a part in is left.

// searchMetric decides between candidates, rounded as it is reported: less than that is no difference, and the earlier candidate wins.
const searchMetric = "normalized_discounted_cumulative_gain_at_25"

// MaxTrials is the most candidates that a search may have, and DefaultTrials how many it has unless it is told.
const (
	MaxTrials     = 40
	DefaultTrials = 10
)

// Search says which hyperparameters a training chooses itself, and from what.
type Search struct {
	Trials int     `json:"trials"` // candidates at most; fewer if the ranges hold fewer
	Ranges []Range `json:"ranges"`
	Metric string  `json:"metric,omitempty"` // what decides; "" is the normalized discounted cumulative gain at 25

	// Chosen is the outcome of an earlier search on older data, which the training takes over instead of searching. A training without
	// erased users does not: they may have been what decided.
	Chosen map[string]string `json:"chosen,omitempty"`

	// Resume and how many candidates may be tried at the same time, 0 being one, are the business of one training and no part of the model. Fewer are tried at the
	// same time if there are fewer cores or the memory is not there.
	Resume   `json:"-"`
	Parallel int `json:"-"`
}

// Resume lets a search go on where an earlier one was interrupted. The zero value keeps nothing.
type Resume struct {
	Finished Trials             // what that one has kept: as far as it was a search for the same model, its candidates are not tried again
	Keep     func(Trials) error // called after each candidate, by one goroutine at a time; an error of it ends the training
}

// Trials are the results of the candidates of a search that were tried. They are a function of data that may hold erased users, and have to be dropped with them.
type Trials struct {
	Of      string               // digest of the training's input, its configuration and the program
	Metrics []map[string]float64 // by candidate; nil for one that was not tried
}

// Range is the values that a search may give a hyperparameter.
type Range struct {
	Name   string   `json:"name"` // plain
	Min    float64  `json:"min,omitempty"`
	Max    float64  `json:"max,omitempty"`    // both included
	Values []string `json:"values,omitempty"` // of a Categorical hyperparameter
}

// DefaultRanges are all values of each hyperparameter that a customer's search may vary, but for those that are fixed.
func (e *Entry) DefaultRanges(fixed map[string]string) []Range {
	return e.ranges(fixed, func(p Param) bool { return p.Tunable })
}

// AutomaticRanges is DefaultRanges for the searches that automatic training makes by itself.
func (e *Entry) AutomaticRanges(fixed map[string]string) []Range {
	return e.ranges(fixed, func(p Param) bool { return p.Automatic })
}

func (e *Entry) ranges(fixed map[string]string, which func(Param) bool) (ranges []Range) {
	for _, p := range e.Params {
		if _, given := fixed[p.Name]; which(p) && !given {
			ranges = append(ranges, Range{Name: p.Name, Min: p.Min, Max: p.Max, Values: p.Values})
		}
	}
	return ranges
}

// search returns the chosen value of every ranged hyperparameter and the metrics that it was chosen for. of names the search, see Trials; atOnce is how many
// candidates are tried at the same time.
func (in *input) search(ctx context.Context, s *Search, of string, atOnce int, progress Progress) (chosen map[string]string, metrics map[string]float64, err error) {
	candidates, err := in.candidates(s)
	if err != nil {
		return nil, nil, err
	}
	kept := Trials{Of: of, Metrics: make([]map[string]float64, len(candidates))}
	if s.Finished.Of == of {
		copy(kept.Metrics, s.Finished.Metrics)
	}
	if err := in.try(ctx, candidates, &kept, s.Keep, atOnce, progress); err != nil {
		return nil, nil, err
	}
	metric := cmp.Or(s.Metric, searchMetric)
	for n, got := range kept.Metrics {
		if metrics == nil || got[metric] > metrics[metric] {
			chosen, metrics = candidates[n], got
		}
	}
	return chosen, metrics, nil
}

// try measures the candidates that have no metrics in kept.
func (in *input) try(ctx context.Context, candidates []map[string]string, kept *Trials, keep func(Trials) error, atOnce int, progress Progress) error {
	const phase = "hyperparameter search" // in trials
	var turn sync.Mutex                   // guards kept and tried
	total, tried := int64(len(candidates)), int64(0)
	for _, got := range kept.Metrics {
		if got != nil {
			tried++
		}
	}
	progress(phase, tried, total)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, atOnce))
	for n, candidate := range candidates {
		if kept.Metrics[n] != nil {
			continue
		}
		group.Go(func() error {
			if ctx.Err() != nil { // another one has failed
				return ctx.Err()
			}
			got, err := in.with(candidate).measure(ctx, func(string, int64, int64) {})
			if err != nil {
				return err
			}
			turn.Lock()
			defer turn.Unlock()
			kept.Metrics[n] = got
			if keep != nil {
				if err := keep(*kept); err != nil {
					return fmt.Errorf("keep the results of a search: %w", err)
				}
			}
			tried++
			progress(phase, tried, total)
			return nil
		})
	}
	return group.Wait()
}

// with is the input under other hyperparameters of the algorithm. Those of the feature transformation cannot be searched: they have decided already which
// users count.
func (in *input) with(params map[string]string) *input {
	other, cfg := *in, *in.cfg
	cfg.Params = maps.Clone(in.cfg.Params)
	if cfg.Params == nil {
		cfg.Params = map[string]string{}
	}
	maps.Copy(cfg.Params, params)
	other.cfg = &cfg
	return &other
}

// measure trains without the test users and returns the metrics on them.
func (in *input) measure(ctx context.Context, progress Progress) (map[string]float64, error) {
	switch in.trainer {
	case sims, similarItems:
		return in.measureRelated(ctx, progress)
	case personalizationV1, personalizationV2:
		return in.measurePersonalization(ctx, progress)
	}
	return nil, fmt.Errorf("hyperparameter search with recipe %q: %w", in.trainer, ErrNotTrainable)
}

// candidates lists different assignments of values to the ranged hyperparameters.
func (in *input) candidates(s *Search) ([]map[string]string, error) {
	axes, points := make([]axis, len(s.Ranges)), 1.0
	for k, r := range s.Ranges {
		var err error
		if axes[k], err = in.axis(k, r); err != nil {
			return nil, err
		}
		points *= axes[k].points
	}
	wanted := int(min(float64(max(1, min(s.Trials, MaxTrials))), points))
	var list []map[string]string
	add := func(c map[string]string) {
		if !slices.ContainsFunc(list, func(have map[string]string) bool { return maps.Equal(have, c) }) {
			list = append(list, c)
		}
	}
	if c, ok := in.standing(axes); ok {
		add(c)
	}
	for n := uint64(1); len(list) < wanted && n <= 64*MaxTrials; n++ {
		c := map[string]string{}
		for k := range axes {
			c[axes[k].Name] = axes[k].at(n)
		}
		add(c)
	}
	return list, nil
}

// standing is the assignment that the configuration would have without a search; ok is false if it is outside of a range.
func (in *input) standing(axes []axis) (c map[string]string, ok bool) {
	c = map[string]string{}
	for k := range axes {
		value, ok := in.param(axes[k].Name)
		if !ok || !axes[k].holds(value) {
			return nil, false
		}
		c[axes[k].Name] = value
	}
	return c, true
}

// axis is one dimension of the search.
type axis struct {
	Range
	kind   ParamType
	base   uint64  // of the Halton sequence: a prime
	offset float64 // of the whole axis, modulo 1
	points float64 // different values
}

var primes = []uint64{2, 3, 5, 7, 11, 13, 17, 19}

// steps is into how many parts a continuous range is cut.
const steps = 1000

func (in *input) axis(k int, r Range) (axis, error) {
	i := slices.IndexFunc(in.entry.Params, func(p Param) bool { return p.Name == r.Name && p.Kind == AlgorithmParam })
	if i < 0 || k >= len(primes) {
		return axis{}, fmt.Errorf("recipe %q has no hyperparameter %q to search", in.entry.Name, r.Name)
	}
	a := axis{Range: r, kind: in.entry.Params[i].Type, base: primes[k], offset: uniform(draw(in.cfg.Seed, r.Name)), points: 1}
	switch {
	case a.kind == Categorical:
		a.points = float64(len(r.Values))
	case a.kind == Integer:
		a.points = r.Max - r.Min + 1
	case r.Max > r.Min:
		a.points = steps + 1
	}
	if a.points < 1 {
		return axis{}, fmt.Errorf("the range of hyperparameter %q is empty", r.Name)
	}
	return a, nil
}

// at is the value at point n of the sequence.
func (a *axis) at(n uint64) string {
	u := radicalInverse(n, a.base) + a.offset
	if u >= 1 {
		u--
	}
	k := min(math.Floor(float64(u*a.points)), a.points-1)
	switch {
	case a.kind == Categorical:
		return a.Values[int(k)]
	case a.kind == Integer:
		return strconv.FormatFloat(a.Min+k, 'f', 0, 64)
	case a.points == 1:
		return strconv.FormatFloat(a.Min, 'f', -1, 64)
	}
	value := a.Min + float64((a.Max-a.Min)*k/steps)
	short := strconv.FormatFloat(value, 'f', 4, 64)
	if rounded, err := strconv.ParseFloat(short, 64); err != nil || rounded < a.Min || rounded > a.Max {
		short = strconv.FormatFloat(min(max(value, a.Min), a.Max), 'f', -1, 64)
	}
	return short
}

// radicalInverse mirrors the digits of n at the point: 0.d₀d₁d₂... for n = ...d₂d₁d₀.
func radicalInverse(n, base uint64) float64 {
	digits, scale := uint64(0), uint64(1)
	for ; n > 0; n /= base {
		digits, scale = digits*base+n%base, scale*base
	}
	return float64(digits) / float64(scale)
}

// holds reports whether the value lies on the axis.
func (a *axis) holds(value string) bool {
	if a.kind == Categorical {
		return slices.Contains(a.Values, value)
	}
	f, err := strconv.ParseFloat(value, 64)
	return err == nil && a.Min <= f && f <= a.Max
}

// Measures reports whether every recipe with a search measures a metric of that name, so that it may decide one.
func Measures(metric string) bool {
	_, ok := newEvaluation(0, false).metrics(0)[metric]
	return ok
}
