package recipe

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/quota"
	"github.com/palate-dev/palate/internal/userset"
)

// rush is n events with an item, a second apart up to end, each of another user.
func rush(item string, n int, end int64) (events []testEvent) {
	for k := range n {
		events = append(events, testEvent{user: fmt.Sprintf("%s-fan-%d", item, k), item: item, kind: "Watch", time: end - int64(k)})
	}
	return events
}

// trending trains on events and returns the whole list.
func trending(t *testing.T, events []testEvent, frequency string) (list []string, m *Manifest) {
	t.Helper()
	dir, m := train(t, makeEvents(events), nil, Config{Recipe: trendingNow, Params: map[string]string{trendFrequency: frequency}})
	for _, s := range open(t, dir).Recommend(Query{N: 1000}, nil) {
		if s.HasScore {
			t.Error("a trending item has a score")
		}
		list = append(list, s.Item)
	}
	return list, m
}

func TestTrendingItemsAreInOrderOfTheirGrowth(t *testing.T) {
	const now, hour = 1_700_000_000, 3600
	events := slices.Concat(
		rush("steady", 300, now), rush("steady", 300, now-hour),
		rush("rising", 200, now), rush("rising", 50, now-hour),
		rush("falling", 50, now), rush("falling", 200, now-hour),
		rush("new", 90, now),
		rush("one more", 1, now-1),
		rush("past", 500, now-5*hour), rush("long past", 40, now-50*hour),
	)
	list, m := trending(t, events, "1 hour")
	if want := []string{"rising", "new", "steady", "one more", "falling", "past", "long past"}; !slices.Equal(list, want) {
		t.Errorf("trending: %q, want %q", list, want)
	}
	if m.Settings["interval"] != hour || m.Metrics["coverage"] == 0 {
		t.Errorf("settings %v, metrics %v", m.Settings, m.Metrics)
	}
	if _, has := m.Metrics["trend_prediction_accuracy"]; !has || len(m.Metrics) != 2 {
		t.Errorf("metrics %v", m.Metrics)
	}
}

func TestTheFrequencyDecidesWhatIsCompared(t *testing.T) {
	const now, minute = 1_700_000_000, 60
	events := slices.Concat(
		rush("this half hour", 100, now), rush("this half hour", 100, now-40*minute), rush("this half hour", 100, now-70*minute),
		rush("this half hour", 100, now-100*minute),
		rush("today", 160, now-70*minute), rush("today", 20, now-20*minute),
		rush("ever", 500, now-26*60*minute), rush("ever", 100, now),
	)
	for frequency, want := range map[string][]string{
		"30 minutes": {"ever", "today", "this half hour"}, "3 hours": {"this half hour", "today", "ever"}, "1 day": {"this half hour", "today", "ever"},
	} {
		if list, _ := trending(t, events, frequency); !slices.Equal(list, want) {
			t.Errorf("%s: %q, want %q", frequency, list, want)
		}
	}
}

// TestThePredictionOfTrendsIsMeasuredAgainstTheLatestInterval lets one item go on growing, and then another one instead.
func TestThePredictionOfTrendsIsMeasuredAgainstTheLatestInterval(t *testing.T) {
	const now, hour = 1_700_000_000, 3600
	const last = now - hour - 100
	past := slices.Concat(rush("a", 20, last-hour), rush("a", 100, last), rush("b", 100, last), rush("b", 100, last-hour))
	for i := range 60 {
		past = append(past, rush(fmt.Sprintf("filler-%02d", i), 3, last)...)
	}
	_, right := trending(t, slices.Concat(past, rush("a", 400, now), rush("b", 100, now)), "1 hour")
	_, wrong := trending(t, slices.Concat(past, rush("a", 100, now), rush("new", 400, now)), "1 hour")
	if a := right.Metrics["trend_prediction_accuracy"]; a != 1 {
		t.Errorf("a trend that goes on is predicted with accuracy %v", a)
	}
	if a := wrong.Metrics["trend_prediction_accuracy"]; a != 0 {
		t.Errorf("a trend out of nothing is predicted with accuracy %v", a)
	}
}

func TestStrangeTimesStillMakeAList(t *testing.T) {
	plain := walks(7, 40, 20, 10)
	at := func(f func(k int, time int64) int64) []testEvent {
		events := slices.Clone(plain)
		for k := range events {
			events[k].time = f(k, events[k].time)
		}
		return events
	}
	for name, events := range map[string][]testEvent{
		"zero":         at(func(int, int64) int64 { return 0 }),
		"milliseconds": at(func(_ int, time int64) int64 { return time * 1000 }),
		"negative":     at(func(k int, _ int64) int64 { return int64(-k) }),
		"extremes":     at(func(k int, _ int64) int64 { return []int64{math.MinInt64, math.MaxInt64, 0}[k%3] }),
		"one event":    plain[:1],
		"one user": slices.Collect(func(yield func(testEvent) bool) {
			for _, e := range plain {
				e.user = "u"
				yield(e)
			}
		}),
		"one item": slices.Collect(func(yield func(testEvent) bool) {
			for _, e := range plain {
				e.item = "i"
				yield(e)
			}
		}),
	} {
		items := map[string]bool{}
		for _, e := range events {
			items[e.item] = true
		}
		list, m := trending(t, events, "3 hours")
		if len(list) != len(items) {
			t.Errorf("%s: %d of %d items", name, len(list), len(items))
		}
		for metric, v := range m.Metrics {
			if !(v >= 0 && v <= 1) {
				t.Errorf("%s: %s is %v", name, metric, v)
			}
		}
	}
	// A few clocks that are far ahead do not move the intervals of everybody else.
	const now, hour = 1_700_000_000, 3600
	events := slices.Concat(rush("rising", 400, now), rush("falling", 100, now), rush("falling", 400, now-hour), rush("rising", 100, now-hour))
	right, _ := trending(t, events, "1 hour")
	astray, _ := trending(t, append(rush("ahead", 5, now*1000), events...), "1 hour")
	if slices.Index(astray, "rising") > slices.Index(astray, "falling") || right[0] != "rising" {
		t.Errorf("without strays %q, with them %q", right, astray)
	}
}

func TestIntervalsOfTrends(t *testing.T) {
	for _, c := range []struct {
		recipe string
		params map[string]string
		want   time.Duration
	}{
		{"aws-trending-now", nil, 3 * time.Hour},
		{"aws-trending-now", map[string]string{"trend_discovery_frequency": "30 minutes"}, 30 * time.Minute},
		{"aws-trending-now", map[string]string{"data.trend_discovery_frequency": "1 day"}, 24 * time.Hour},
		{"aws-trending-now", map[string]string{"trend_discovery_frequency": "1h"}, time.Hour},
		{"aws-vod-trending-now", nil, 2 * time.Hour},
		{"aws-popularity-count", nil, 0},
	} {
		e, _ := Find(c.recipe)
		if got := e.Interval(c.params); got != c.want {
			t.Errorf("%s with %v: %v, want %v", c.recipe, c.params, got, c.want)
		}
	}
}

func TestTooLittleDataForTrendsIsRefused(t *testing.T) {
	_, err := Train(context.Background(), Data{Events: makeEvents(rush("a", 999, 5000))}, Config{Recipe: trendingNow}, quota.AWS(), t.TempDir(), nil)
	var data *DataError
	if !errors.As(err, &data) || data.Reason != "Dataset has fewer than 1000 interactions" {
		t.Error(err)
	}
}

// TestExcludedEventsAreKeptAndNotTrainedOn: purchases change neither the rows nor the metrics of a model of views, but its histories have them.
func TestExcludedEventsAreKeptAndNotTrainedOn(t *testing.T) {
	events := walks(8, 60, 20, 8)
	for i := range events {
		events[i].kind = "View"
	}
	bought := append(slices.Clone(events),
		testEvent{"user-0001", "item-0003", "PURCHASE", 5, 0}, testEvent{"only buys", "item-0004", "Purchase", 5, 0}, testEvent{"user-0001", "item-0009", "Cart", 6, 0})
	cfg := Config{Recipe: sims, EventType: "View", Excludes: "Purchase"}
	without, a := train(t, makeEvents(events), nil, cfg)
	with, b := train(t, makeEvents(bought), nil, cfg)
	if a.Metrics["precision_at_10"] != b.Metrics["precision_at_10"] {
		t.Errorf("metrics %v and %v", a.Metrics, b.Metrics)
	}
	for _, name := range []string{"related.item", "related.value", "popular.item", "item.count"} {
		if contents(t, without)[name] != contents(t, with)[name] {
			t.Errorf("purchases change %s", name)
		}
	}
	m := open(t, with)
	kinds := map[string]int{}
	for _, e := range m.History("user-0001") {
		kinds[e.Type]++
	}
	if kinds["PURCHASE"] != 1 || kinds["Cart"] != 0 || kinds["View"] == 0 {
		t.Errorf("the history has %v", kinds)
	}
	if !m.HoldsUser("only buys") || m.Warm("item-0004") != open(t, without).Warm("item-0004") {
		t.Error("who only buys is not kept, or warms an item")
	}
}

// forgets is the erasure promise at several numbers of cores: the data of everybody, without some, and the data that never held them give the same bytes.
func forgets(t *testing.T, everybody, never Data, gone []string, cfg Config) {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	var first map[string]string
	for _, cores := range []int{1, 2, 8} {
		runtime.GOMAXPROCS(cores)
		from, to, clean := filepath.Join(t.TempDir(), "from"), filepath.Join(t.TempDir(), "to"), filepath.Join(t.TempDir(), "clean")
		for dir, d := range map[string]Data{from: everybody, clean: never} {
			if _, err := Train(context.Background(), d, cfg, quota.Limits{}, dir, nil); err != nil {
				t.Fatal(err)
			}
		}
		if _, touched, err := Retrain(context.Background(), from, userset.New(gone), to, nil); err != nil || !touched {
			t.Fatal(touched, err)
		}
		if diff := cmp.Diff(contents(t, clean), contents(t, to)); diff != "" {
			t.Errorf("%s on %d cores: %s", cfg.Recipe, cores, diff)
		}
		if first == nil {
			first = contents(t, clean)
		}
		if diff := cmp.Diff(first, contents(t, clean)); diff != "" {
			t.Errorf("%s on %d cores and on one: %s", cfg.Recipe, cores, diff)
		}
	}
}

func TestTrendsAndExclusionsForgetUsers(t *testing.T) {
	const now = 1_700_000_000
	events := walks(9, 80, 30, 10)
	for i := range events {
		events[i].kind = []string{"View", "View", "Purchase"}[i%3]
	}
	// Who goes has the newest events, so that the intervals move, items that nobody else has, and nothing but purchases.
	alone := []testEvent{{"buyer", "item-0001", "Purchase", 1_600_000_000, 0}, {"first", "only his", "View", 9, 0}, {"last", "item-0002", "View", now, 0}}
	for k := range 30 {
		alone = append(alone, testEvent{"last", fmt.Sprintf("late-%d", k%4), "View", now + int64(k), 0})
	}
	gone := []string{"buyer", "first", "last", "user-0003"}
	rest := slices.DeleteFunc(slices.Clone(events), func(e testEvent) bool { return e.user == "user-0003" })
	for _, cfg := range []Config{
		{Recipe: trendingNow, Seed: 5},
		{Recipe: trendingNow, Params: map[string]string{trendFrequency: "30 minutes"}},
		{Recipe: sims, EventType: "View", Excludes: "Purchase"},
	} {
		forgets(t, Data{Events: makeEvents(append(slices.Clone(events), alone...))}, Data{Events: makeEvents(slices.Clone(rest))}, gone, cfg)
	}
}
