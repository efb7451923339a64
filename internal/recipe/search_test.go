package recipe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/quota"
	"github.com/palate-dev/palate/internal/userset"
)

// inputOf prepares events for the trainer of cfg's recipe.
func inputOf(cfg Config, events []testEvent) *input {
	entry, _ := Find(cfg.Recipe)
	return newInput(&cfg, entry, newAdmission(&cfg, entry), Data{Events: makeEvents(slices.Clone(events))})
}

var wide = &Search{Trials: 12, Ranges: []Range{
	{Name: "bptt", Min: 4, Max: 32}, {Name: "recency_mask", Values: []string{"true", "false"}}, {Name: "hidden_dimension", Min: 32, Max: 256},
}}

func TestCandidatesLieInTheirRangesAndDiffer(t *testing.T) {
	ranges := map[string][]Range{
		personalizationV1: wide.Ranges,
		sims: {
			{Name: "popularity_discount_factor", Min: 0.30001, Max: 0.30009}, {Name: "min_cointeraction_count", Min: 0, Max: 10},
		},
	}
	for name, ranges := range ranges {
		in := inputOf(Config{Recipe: name, Seed: 9}, walks(1, 10, 10, 4))
		list, err := in.candidates(&Search{Trials: 40, Ranges: ranges})
		if err != nil || len(list) != 40 {
			t.Fatalf("%s: %d candidates, %v", name, len(list), err)
		}
		again, _ := in.candidates(&Search{Trials: 40, Ranges: ranges})
		if diff := cmp.Diff(list, again); diff != "" {
			t.Errorf("%s: another list the second time: %s", name, diff)
		}
		for _, r := range ranges {
			least, most := 2.0, -1.0
			for i, c := range list {
				if slices.ContainsFunc(list[:i], func(o map[string]string) bool { return maps.Equal(o, c) }) {
					t.Errorf("%s: %v twice", name, c)
				}
				if r.Values != nil {
					if !slices.Contains(r.Values, c[r.Name]) {
						t.Errorf("%s: %s is %s", name, r.Name, c[r.Name])
					}
					continue
				}
				v, err := strconv.ParseFloat(c[r.Name], 64)
				if err != nil || v < r.Min || v > r.Max {
					t.Errorf("%s: %s is %s", name, r.Name, c[r.Name])
				}
				share := (v - r.Min) / (r.Max - r.Min)
				least, most = min(least, share), max(most, share)
			}
			if r.Values == nil && (least > 0.1 || most < 0.9) {
				t.Errorf("%s: %s covers only %.2f to %.2f of its range", name, r.Name, least, most)
			}
		}
	}
}

func TestASearchTriesNoMoreThanThereIs(t *testing.T) {
	in := inputOf(Config{Recipe: personalizationV1}, walks(1, 10, 10, 4))
	for _, c := range []struct {
		search Search
		want   int
	}{
		{Search{Trials: 10, Ranges: []Range{{Name: "recency_mask", Values: []string{"true", "false"}}}}, 2},
		{Search{Trials: 10, Ranges: []Range{{Name: "bptt", Min: 8, Max: 8}}}, 1},
		{Search{Trials: 10, Ranges: []Range{{Name: "bptt", Min: 8, Max: 10}, {Name: "recency_mask", Values: []string{"true", "false"}}}}, 6},
		{Search{Trials: 3, Ranges: []Range{{Name: "bptt", Min: 2, Max: 32}}}, 3},
		{Search{Trials: 5}, 1}, // everything is fixed: the configuration as it stands
	} {
		got, err := in.candidates(&c.search)
		if err != nil || len(got) != c.want {
			t.Errorf("%+v: %v, %v, want %d", c.search, got, err, c.want)
		}
	}
	if _, err := in.candidates(&Search{Trials: 1, Ranges: []Range{{Name: "no_such", Min: 1, Max: 2}}}); err == nil {
		t.Error("an unknown hyperparameter was searched")
	}
	if _, err := in.candidates(&Search{Trials: 1, Ranges: []Range{{Name: "recency_mask"}}}); err == nil {
		t.Error("an empty range was searched")
	}
}

func TestTheSearchStartsFromTheConfigurationAsItStands(t *testing.T) {
	in := inputOf(Config{Recipe: personalizationV1, Params: map[string]string{"bptt": "5"}}, walks(1, 10, 10, 4))
	list, err := in.candidates(wide)
	if diff := cmp.Diff(map[string]string{"bptt": "5", "recency_mask": "true", "hidden_dimension": "149"}, list[0]); err != nil || diff != "" {
		t.Errorf("%v, %s", err, diff)
	}
	list, err = in.candidates(&Search{Trials: 2, Ranges: []Range{{Name: "bptt", Min: 8, Max: 32}}})
	if err != nil || list[0]["bptt"] == "5" {
		t.Errorf("%v, %v", list, err)
	}
}

// TestTheSearchFindsWhatTheDataNeeds uses data in which the item five steps back decides: a reach of two events cannot see it.
func TestTheSearchFindsWhatTheDataNeeds(t *testing.T) {
	events := delayed(300, 25)
	cfg := Config{Recipe: personalizationV1, Seed: 1, Search: &Search{Trials: 8, Ranges: []Range{{Name: "bptt", Min: 2, Max: 8}}}}
	cfg.Params = map[string]string{"bptt": "2"}
	_, tuned := train(t, makeEvents(slices.Clone(events)), nil, cfg)
	cfg.Search = nil
	_, plain := train(t, makeEvents(slices.Clone(events)), nil, cfg)
	if n, _ := strconv.Atoi(tuned.Tuned["bptt"]); n < 5 {
		t.Errorf("tuned: %v", tuned.Tuned)
	}
	if tuned.Metrics[searchMetric] <= plain.Metrics[searchMetric] {
		t.Errorf("the search went from %v to %v", plain.Metrics[searchMetric], tuned.Metrics[searchMetric])
	}
	cfg.Params = tuned.Tuned
	_, direct := train(t, makeEvents(events), nil, cfg)
	if diff := cmp.Diff(direct.Arrays, tuned.Arrays); diff != "" {
		t.Errorf("the model is not that of the chosen values: %s", diff)
	}
	if diff := cmp.Diff(direct.Metrics, tuned.Metrics); diff != "" {
		t.Errorf("the metrics are not those of the chosen values: %s", diff)
	}
}

// delayed makes histories in which every item follows from the one five steps before it.
func delayed(users, items int) []testEvent {
	var events []testEvent
	for u := range users {
		var history []int
		for k := range 16 {
			at := int(draw(uint64(u), strconv.Itoa(k)) % uint64(items))
			if k >= 5 {
				at = (history[k-5] + 1) % items
			}
			history = append(history, at)
			events = append(events, testEvent{fmt.Sprintf("user-%04d", u), fmt.Sprintf("item-%02d", at), "", int64(1000*u + 60*k), 0})
		}
	}
	return events
}

func TestASearchIsReportedTrialByTrial(t *testing.T) {
	cfg := Config{Recipe: sims, Search: &Search{Trials: 4, Ranges: []Range{{Name: "popularity_discount_factor", Max: 1}}}}
	var got []string
	report := func(phase string, done, total int64) {
		if phase == "hyperparameter search" {
			got = append(got, fmt.Sprintf("%d/%d", done, total))
		}
	}
	if _, err := Train(context.Background(), Data{Events: makeEvents(walks(5, 50, 20, 8))}, cfg, quota.Limits{}, t.TempDir(), report); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"0/4", "1/4", "2/4", "3/4", "4/4"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestASearchCanBeInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cfg := Config{Recipe: personalizationV1, Search: wide}
	report := func(phase string, done, _ int64) {
		if phase == "hyperparameter search" && done == 2 {
			cancel()
		}
	}
	_, err := Train(ctx, Data{Events: makeEvents(walks(5, 50, 20, 8))}, cfg, quota.Limits{}, t.TempDir(), report)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestTheChoiceForgetsErasedUsers makes a few users decide a search: a model that is trained again without them has searched without them.
func TestTheChoiceForgetsErasedUsers(t *testing.T) {
	some := delayed(60, 25)
	for i := range some {
		some[i].user = "leaving-" + some[i].user
	}
	stay := walks(3, 60, 25, 10)
	cfg := Config{Recipe: personalizationV1, Seed: 1, Search: &Search{Trials: 7, Ranges: []Range{{Name: "bptt", Min: 2, Max: 8}}}}
	from, was := train(t, makeEvents(slices.Concat(some, stay)), nil, cfg)
	never, want := train(t, makeEvents(slices.Clone(stay)), nil, cfg)
	if maps.Equal(was.Tuned, want.Tuned) {
		t.Fatalf("the users who leave did not matter: %v", was.Tuned)
	}
	var leaving []string
	for _, e := range some {
		leaving = append(leaving, e.user)
	}
	to := filepath.Join(t.TempDir(), "to")
	if _, _, err := Retrain(context.Background(), from, userset.New(leaving), to, nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(contents(t, never), contents(t, to)); diff != "" {
		t.Error(diff)
	}
}

// TestATakenOverChoiceIsUsedAndForgottenWithAnyErasure: who was erased may have decided it, whether or not the model itself knows them.
func TestATakenOverChoiceIsUsedAndForgottenWithAnyErasure(t *testing.T) {
	entry, _ := Find(personalizationV2)
	search := &Search{Trials: 2, Ranges: entry.AutomaticRanges(nil), Chosen: map[string]string{"apply_recency_bias": "false"}}
	events := walks(3, 60, 25, 10)
	cfg := Config{Recipe: personalizationV2, Search: search}
	from, m := train(t, makeEvents(slices.Clone(events)), nil, cfg)
	_, direct := train(t, makeEvents(slices.Clone(events)), nil, Config{Recipe: personalizationV2, Params: search.Chosen})
	if diff := cmp.Diff(direct.Arrays, m.Arrays); diff != "" || m.Tuned != nil {
		t.Errorf("tuned %v, %s", m.Tuned, diff)
	}
	to := filepath.Join(t.TempDir(), "to")
	again, touched, err := Retrain(context.Background(), from, userset.New([]string{"somebody else"}), to, nil)
	if err != nil || !touched || again.Tuned == nil {
		t.Fatalf("touched %v, %v", touched, err)
	}
	cfg.Search = &Search{Trials: 2, Ranges: entry.AutomaticRanges(nil)}
	want, _ := train(t, makeEvents(events), nil, cfg)
	if diff := cmp.Diff(contents(t, want), contents(t, to)); diff != "" {
		t.Error(diff)
	}
	if _, touched, err := Retrain(context.Background(), to, userset.New([]string{"somebody else"}), filepath.Join(t.TempDir(), "no"), nil); err != nil || touched {
		t.Errorf("touched %v the second time, %v", touched, err)
	}
}

// TestASearchGoesOnWhereItWasInterrupted breaks a search off after so many candidates, of which several may be under way.
func TestASearchGoesOnWhereItWasInterrupted(t *testing.T) {
	events, interrupted := walks(8, 60, 30, 8), errors.New("killed")
	once := func(events []testEvent, s Search) (*Manifest, []Trials, error) {
		var kept []Trials
		keep := s.Keep
		s.Keep = func(trials Trials) error {
			kept = append(kept, Trials{trials.Of, slices.Clone(trials.Metrics)})
			if keep != nil {
				return keep(trials)
			}
			return nil
		}
		cfg := Config{Recipe: personalizationV1, Seed: 3, Search: &s}
		m, err := Train(context.Background(), Data{Events: makeEvents(slices.Clone(events))}, cfg, quota.Limits{}, filepath.Join(t.TempDir(), "model"), nil)
		return m, kept, err
	}
	search := Search{Trials: 4, Ranges: wide.Ranges}
	whole, all, err := once(events, search)
	if err != nil || len(all) != 4 {
		t.Fatalf("%d candidates, %v", len(all), err)
	}
	for _, atOnce := range []int{1, 3} {
		for stop := 1; stop <= 4; stop++ {
			broken := search
			broken.Parallel = atOnce
			broken.Keep = func(trials Trials) error {
				if tried(trials) == stop {
					return interrupted
				}
				return nil
			}
			_, kept, err := once(events, broken)
			if !errors.Is(err, interrupted) || len(kept) < stop {
				t.Fatalf("%d candidates before the end, %v", len(kept), err)
			}
			text, err := json.Marshal(kept[stop-1]) // as a checkpoint keeps them
			if err != nil {
				t.Fatal(err)
			}
			again := search
			again.Parallel = atOnce
			if err := json.Unmarshal(text, &again.Finished); err != nil {
				t.Fatal(err)
			}
			m, more, err := once(events, again)
			if err != nil || m.Hash != whole.Hash || len(more) != 4-stop {
				t.Errorf("after %d candidates: %d more, model %v, %v", stop, len(more), m, err)
			}
			if atOnce > 1 {
				continue
			}
			for what, other := range map[string]func(*Search) []testEvent{
				"other data":     func(*Search) []testEvent { return events[:len(events)-1] },
				"another search": func(s *Search) []testEvent { s.Metric = "coverage"; return events },
			} {
				changed := again
				if _, tried, err := once(other(&changed), changed); err != nil || len(tried) != 4 {
					t.Errorf("with %s %d candidates were tried, %v", what, len(tried), err)
				}
			}
		}
	}
}

// A model that is made again without some users searches again; if that is interrupted it goes on.
func TestARebuildGoesOnWithItsSearch(t *testing.T) {
	cfg := Config{Recipe: sims, Seed: 3, Search: &Search{Trials: 4, Ranges: []Range{{Name: "popularity_discount_factor", Max: 1}}}}
	from, _ := train(t, makeEvents(walks(8, 60, 30, 8)), nil, cfg)
	gone, interrupted := userset.New([]string{"user-0003", "user-0004"}), errors.New("killed")
	rebuild := func(resume Resume, stop int) (m *Manifest, kept Trials, calls int, err error) {
		resume.Keep = func(trials Trials) error {
			calls++
			if kept = (Trials{trials.Of, slices.Clone(trials.Metrics)}); tried(trials) == stop {
				return interrupted
			}
			return nil
		}
		m, _, err = Rebuild(t.Context(), from, gone, filepath.Join(t.TempDir(), "to"), Again{Resume: resume}, nil)
		return m, kept, calls, err
	}
	whole, _, calls, err := rebuild(Resume{}, -1)
	if err != nil || calls != 4 {
		t.Fatalf("%d candidates, %v", calls, err)
	}
	_, kept, _, err := rebuild(Resume{}, 3)
	if !errors.Is(err, interrupted) {
		t.Fatal(err)
	}
	m, _, calls, err := rebuild(Resume{Finished: kept}, -1)
	if err != nil || calls != 1 || m.Hash != whole.Hash {
		t.Errorf("%d candidates after the interruption, %v", calls, err)
	}
}

// tried counts the candidates that have results.
func tried(trials Trials) (n int) {
	for _, got := range trials.Metrics {
		if got != nil {
			n++
		}
	}
	return n
}

func TestCandidatesAreTriedTogetherAsFarAsMemoryAndCoresGo(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	s := Size{Events: 1e6, Users: 1e4, Items: 1e4, Active: 5e3}
	cfg := Config{Recipe: personalizationV1, Search: &Search{Trials: 40}}
	need := func(parallel int, lim quota.Limits) (int64, int) {
		t.Helper()
		cfg.Search.Parallel = parallel
		bytes, atOnce, err := plan(cfg, s, lim)
		if err != nil {
			t.Fatal(err)
		}
		return bytes, atOnce
	}
	one, _ := need(1, quota.Limits{})
	two, _ := need(2, quota.Limits{})
	for _, c := range []struct {
		parallel, trials int
		memory           int64
		want             int
	}{
		{0, 40, 0, 1}, {1, 40, 0, 1}, {3, 40, 0, 3}, {10, 40, 0, 4}, {10, 2, 0, 2}, {10, 40, two, 2}, {10, 40, two - 1, 1}, {10, 40, one - 1, 1},
	} {
		cfg.Search.Trials = c.trials
		lim := quota.Limits{TrainingMemory: c.memory}
		bytes, got := need(c.parallel, lim)
		if got != c.want {
			t.Errorf("%d of %d allowed with %d bytes: %d at once", c.parallel, c.trials, c.memory, got)
		}
		if got > 1 && c.memory > 0 && bytes > c.memory {
			t.Errorf("%d at once take %d bytes of %d", got, bytes, c.memory)
		}
		if err := Fits(cfg, s, lim); (err != nil) != (c.memory > 0 && c.memory < one) {
			t.Errorf("with %d bytes: %v", c.memory, err)
		}
	}
}
