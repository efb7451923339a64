package recipe

import (
	"cmp"
	"context"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Trending ranks items by how much more often they occur in the latest interval than in the one before it.
//
// The events of an item in an interval are taken as Poisson with a rate that has a Gamma prior of shape a and of one interval's weight, so that with r events in
// the latest interval and b in the one before the posterior means are (r+a)/2 and (b+a)/2, and the growth is their ratio
//
//	growth = (r + a) / (b + a)
//
// whose order is that of its logarithm. The prior makes growth from nothing to one less than growth from ten to fifty. a is the mean of the active items'
// counts. Growths are compared as fractions of integers: no float decides an order.
//
// The intervals end with the data, not with a clock, so that a training stays a pure function of its data and data of long ago has trends too. Where the latest
// interval holds next to nothing its length is doubled until it does not.

const (
	trendFrequency = "trend_discovery_frequency"
	trendFewest    = 50  // events that the latest interval must hold, or it is too short
	trendStrays    = 10  // newest events, at most, that do not decide where the latest interval ends: clocks of clients may be wrong
	trendShare     = 100 // and at most one event in so many
)

// Interval is how often models of the entry are evaluated again from new data, without a training; 0 if only a training changes them. params are those of a
// solution, nil for a use case.
func (e *Entry) Interval(params map[string]string) time.Duration {
	if e.TrainedAs != trendingNow {
		return 0
	}
	text, ok := e.Fixed[trendFrequency]
	for name, given := range params {
		if p, known := e.Param(FeatureParam, name); known && p.Name == trendFrequency {
			text, ok = given, true
		}
	}
	if p, known := e.Param(FeatureParam, trendFrequency); known && !ok {
		text = p.Default
	}
	return duration(text)
}

// duration reads a length of time as span writes it, 0 if it is none.
func duration(text string) time.Duration {
	short := span(text)
	if short == "" {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimRight(short, "mhd"), 10, 32)
	if err != nil {
		return 0
	}
	unit := map[byte]time.Duration{'m': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}[short[len(short)-1]]
	return time.Duration(n) * unit
}

// trend is what two neighbouring intervals say.
type trend struct {
	interval              int64 // seconds
	prior                 int64 // a
	recent, before, total []int64
	order                 []int32 // items with events, the most trending first
}

// trainTrending measures and trains the trending recipe. What is measured is how well the growth of an interval foretells that of the next, which is the latest.
func (in *input) trainTrending(ctx context.Context, m *Manifest, w *modelWriter, progress Progress) error {
	every := int64(time.Hour / time.Second)
	if text, ok := in.param(trendFrequency); ok {
		every = max(1, int64(duration(text)/time.Second))
	}
	end := in.trendEnd()
	t := in.trendAt(end, math.MaxInt64, every)
	past := in.trendAt(back(end, t.interval), back(end, t.interval), every)
	m.Metrics = t.measure(past.order[:min(depth, len(past.order))], len(in.items))
	m.Settings["interval"], m.Settings["prior"] = float64(t.interval), float64(t.prior)
	var recent, before []int64
	for _, i := range t.order {
		recent = append(recent, t.recent[i])
		before = append(before, t.before[i])
	}
	put(w, "popular.item", t.order)
	put(w, "trend.recent", recent)
	put(w, "trend.before", before)
	progress("counting", 1, 1)
	return ctx.Err()
}

// trendEnd is where the latest interval ends: at the newest event but for a few strays.
func (in *input) trendEnd() int64 {
	strays := min(trendStrays, len(in.ev.Time)/trendShare)
	newest := make([]int64, 0, strays+1) // ascending
	for _, t := range in.ev.Time {
		if len(newest) > strays {
			if t <= newest[0] {
				continue
			}
			newest = newest[1:]
		}
		at, _ := slices.BinarySearch(newest, t)
		newest = slices.Insert(newest, at, t)
	}
	if len(newest) == 0 {
		return 0
	}
	return newest[0]
}

// trendAt compares the interval that ends with end, or a longer one, with the one before it. Events after last are not looked at; those between end and last
// belong to the latest interval.
func (in *input) trendAt(end, last, interval int64) *trend {
	n := len(in.items)
	t := &trend{interval: interval, recent: make([]int64, n), before: make([]int64, n), total: make([]int64, n)}
	var rungs [65]int // events by the number of doublings after which the interval holds them
	events := 0
	for _, at := range in.ev.Time {
		if at <= last {
			rungs[bits.Len64(uint64(age(end, at)/interval))]++
			events++
		}
	}
	fewest := min(trendFewest, (events+1)/2)
	for k, held := 0, 0; k < len(rungs); k++ {
		if held += rungs[k]; held >= fewest {
			t.interval = doubled(interval, k)
			break
		}
	}
	for k, at := range in.ev.Time {
		if at > last {
			continue
		}
		i := in.ev.Item[k]
		t.total[i]++
		switch old := age(end, at); {
		case old < t.interval:
			t.recent[i]++
		case old-t.interval < t.interval:
			t.before[i]++
		}
	}
	t.rank()
	return t
}

// rank fills prior and order: items of the latest interval by growth, then the others by all their events; ties by id.
func (t *trend) rank() {
	sum, active := int64(0), int64(0)
	for i, n := range t.total {
		if n > 0 {
			t.order = append(t.order, int32(i))
		}
		if r := t.recent[i]; r > 0 {
			sum += r
			active++
		}
	}
	t.prior = max(2, sum/max(1, active))
	slices.SortStableFunc(t.order, func(a, b int32) int {
		if c := cmp.Compare(min(1, t.recent[b]), min(1, t.recent[a])); c != 0 {
			return c
		}
		growth := 0
		if t.recent[a] > 0 {
			growth = cmp.Compare((t.recent[b]+t.prior)*(t.before[a]+t.prior), (t.recent[a]+t.prior)*(t.before[b]+t.prior))
		}
		return cmp.Or(growth, cmp.Compare(t.recent[b], t.recent[a]), cmp.Compare(t.total[b], t.total[a]))
	})
}

// rise is by how much an item grew, as a share of what it was; 0 if it shrank.
func (t *trend) rise(item int32) float64 {
	if t.recent[item] <= t.before[item] {
		return 0
	}
	return float64(t.recent[item]-t.before[item]) / float64(t.before[item]+t.prior)
}

// measure compares a list with the items that really grew most: the share of their rise that the list has caught.
func (t *trend) measure(list []int32, items int) map[string]float64 {
	caught, best := 0.0, 0.0
	for _, i := range list {
		caught += t.rise(i)
	}
	for _, i := range t.order[:min(depth, len(t.order))] {
		best += t.rise(i)
	}
	accuracy := 0.0
	if best > 0 {
		accuracy = caught / best
	}
	return map[string]float64{"coverage": round4(float64(len(list)) / float64(max(1, items))), "trend_prediction_accuracy": round4(accuracy)}
}

// age is how long before end a time is, 0 after it; it does not overflow.
func age(end, at int64) int64 {
	if at >= end {
		return 0
	}
	if old := end - at; old > 0 {
		return old
	}
	return math.MaxInt64
}

// back is the time so long before t; it does not overflow.
func back(t, by int64) int64 {
	if t < math.MinInt64+by {
		return math.MinInt64
	}
	return t - by
}

// doubled is v·2ᵏ, or as much as there is.
func doubled(v int64, k int) int64 {
	if bits.Len64(uint64(v))+k > 63 {
		return math.MaxInt64
	}
	return v << k
}
