package recipe

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/quota"
)

const (
	tastes    = 3
	actionEnd = 1_700_000_000
)

// tastyUsers draws users of a taste, who have items of it and mostly take its action, "action-N"; "rare" is shown too seldom to be judged.
func tastyUsers(seed uint64, users int) (interactions, acted []testEvent) {
	rng := rand.New(rand.NewPCG(seed, 3))
	for u := range users {
		id, taste := fmt.Sprintf("user-%04d", u), u%tastes
		for k := range 6 {
			interactions = append(interactions, testEvent{user: id, item: fmt.Sprintf("item-%d-%d", taste, rng.IntN(5)), kind: "view", time: actionEnd - 40*daySeconds + int64(k)})
		}
		for k := range 12 {
			a, at := rng.IntN(tastes), int64(actionEnd-30*daySeconds+k*2*daySeconds)
			acted = append(acted, testEvent{user: id, item: fmt.Sprintf("action-%d", a), kind: "Viewed", time: at})
			if yes := rng.IntN(10); a == taste && yes < 8 || a != taste && yes < 1 {
				acted = append(acted, testEvent{user: id, item: fmt.Sprintf("action-%d", a), kind: "TAKEN", time: at + 60})
			}
		}
		if u < 40 {
			acted = append(acted, testEvent{user: id, item: "rare", kind: "taken", time: actionEnd - 1})
		}
	}
	return interactions, acted
}

func actionData(interactions, acted []testEvent) Data {
	d := Data{Events: makeEvents(interactions), Actions: []string{"action-0", "action-1", "action-2", "rare", "unseen"}}
	if acted != nil {
		d.Acted = makeEvents(acted)
	}
	return d
}

// actionModelOf trains on the data and opens the model.
func actionModelOf(t *testing.T, d Data) (*Model, *Manifest) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "model")
	m, err := Train(context.Background(), d, Config{Recipe: nextBestAction}, quota.Limits{}, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return open(t, dir), m
}

func TestActionsAreScoredByWhatLikeUsersTook(t *testing.T) {
	m, manifest := actionModelOf(t, actionData(tastyUsers(1, 300)))
	actions := []string{"action-0", "action-1", "action-2", "rare", "unseen", "never heard of"}
	at := func(item string) []float64 { // a stranger who did something just now
		return m.Propensities(&ActionQuery{Query: Query{User: "stranger", Live: []dataset.LiveEvent{{Item: item, Type: "view", Time: actionEnd}}}}, actions)
	}
	for taste := range tastes {
		p := at(fmt.Sprintf("item-%d-1", taste))
		for a := range tastes {
			if a == taste && p[a] < 0.5 || a != taste && p[a] > 0.3 || p[a] <= 0 || p[a] > 1 {
				t.Errorf("taste %d: propensities %v", taste, p)
			}
		}
		if !slices.Equal(p[tastes:], []float64{0, 0, 0}) {
			t.Errorf("actions without enough of both outcomes have propensities %v", p[tastes:])
		}
	}
	no := func(n int) (acted []dataset.LiveEvent) {
		for k := range n {
			acted = append(acted, dataset.LiveEvent{Item: "action-1", Type: "not taken", Time: actionEnd + int64(k)})
		}
		return acted
	}
	before := m.Propensities(&ActionQuery{Query: Query{User: "stranger"}}, actions)
	after := m.Propensities(&ActionQuery{Query: Query{User: "stranger"}, Acted: no(8)}, actions)
	if after[1] >= before[1] {
		t.Errorf("who refuses an action eight times is as ready to take it: %v, was %v", after[1], before[1])
	}
	if hidden := m.Propensities(&ActionQuery{Query: Query{User: "user-0001"}}, actions); !slices.Equal(hidden, before) {
		t.Errorf("a user who must not be known has %v, a stranger %v", hidden, before)
	}
	var names []string
	for name, v := range manifest.Metrics {
		names = append(names, name)
		if !(v >= 0 && v <= 1) {
			t.Errorf("%s is %v", name, v)
		}
	}
	slices.Sort(names)
	want := []string{"area_under_curve", "coverage", "normalized_discounted_cumulative_gain_at_10", "normalized_discounted_cumulative_gain_at_25",
		"normalized_discounted_cumulative_gain_at_5", "precision", "recall"}
	if !slices.Equal(names, want) {
		t.Errorf("metrics %q", names)
	}
	if auc := manifest.Metrics["area_under_curve"]; auc < 0.75 {
		t.Errorf("area under curve is %v", auc)
	}
}

// TestAnActionNeedsFiftyOfEitherOutcomeInSixWeeks, which are counted back from the latest interaction with any action.
func TestAnActionNeedsFiftyOfEitherOutcomeInSixWeeks(t *testing.T) {
	var interactions, acted []testEvent
	answers := func(action string, yes, no int, at int64) {
		for k := range yes + no {
			kind := "Taken"
			if k >= yes {
				kind = []string{"NOT_TAKEN", "Viewed", "not taken"}[k%3]
			}
			acted = append(acted, testEvent{user: fmt.Sprintf("user-%04d", k), item: action, kind: kind, time: at})
		}
	}
	for u := range 100 {
		interactions = append(interactions, testEvent{user: fmt.Sprintf("user-%04d", u), item: fmt.Sprint("item-", u%5), kind: "view", time: actionEnd})
	}
	const window = 42 * daySeconds
	answers("action-0", 50, 50, actionEnd)
	answers("action-1", 49, 51, actionEnd)
	answers("action-2", 51, 49, actionEnd)
	answers("rare", 50, 50, actionEnd-window)     // just within the six weeks
	answers("unseen", 50, 50, actionEnd-window-1) // and just before
	m, _ := actionModelOf(t, actionData(interactions, acted))
	p := m.Propensities(&ActionQuery{Query: Query{User: "stranger"}}, []string{"action-0", "action-1", "action-2", "rare", "unseen"})
	for k, scored := range []bool{true, false, false, true, false} {
		if (p[k] > 0) != scored {
			t.Errorf("propensities %v", p)
		}
	}
}

// TestPropensitiesAreProbabilities: of users whom the model has not seen about as many take actions as their propensities add up to.
func TestPropensitiesAreProbabilities(t *testing.T) {
	m, _ := actionModelOf(t, actionData(tastyUsers(2, 300)))
	var sum, took float64
	interactions, acted := tastyUsers(3, 300) // users of the same tastes that the model has not seen
	last := map[string]string{}
	for _, e := range interactions {
		last[e.user] = e.item
	}
	ev := makeEvents(acted)
	var kinds []reaction
	for _, k := range ev.Types {
		kinds = append(kinds, reactionOf(k))
	}
	for u, user := range ev.Users {
		for _, e := range examples(nil, ev, kinds, u, 14*daySeconds) {
			p := m.Propensities(&ActionQuery{Query: Query{User: "x", Live: []dataset.LiveEvent{{Item: last[user]}}}}, []string{ev.Items[e.action]})
			sum += p[0]
			if e.taken && p[0] > 0 {
				took++
			}
		}
	}
	if math.Abs(sum-took) > 0.15*took {
		t.Errorf("%v examples were taken, %v expected", took, sum)
	}
}

func TestATakenActionAnswersWhatWasShownWithinThePeriod(t *testing.T) {
	const day = daySeconds
	acted := makeEvents([]testEvent{
		{"a", "early", "Viewed", 0, 0}, {"a", "early", "Not_Taken", 10 * day, 0}, {"a", "early", "TAKEN", 20 * day, 0},
		{"b", "at once", "taken", 0, 0}, {"b", "at once", "not taken", 1, 0},
	})
	kinds := []reaction{}
	for _, k := range acted.Types {
		kinds = append(kinds, reactionOf(k))
	}
	var got []string
	for u := range acted.Users {
		for _, e := range examples(nil, acted, kinds, u, 14*day) {
			got = append(got, fmt.Sprint(acted.Items[e.action], " ", e.time/day, " ", e.taken, " ", e.own.shown))
		}
	}
	if want := []string{"early 0 false 0", "early 10 true 1", "at once 0 true 0", "at once 0 false 1"}; !slices.Equal(got, want) {
		t.Errorf("examples %q", got)
	}
}

func TestStrangeActionsStillMakeAModel(t *testing.T) {
	interactions, acted := tastyUsers(4, 30)
	at := func(f func(k int, time int64) int64) []testEvent {
		events := slices.Clone(acted)
		for k := range events {
			events[k].time = f(k, events[k].time)
		}
		return events
	}
	for name, acted := range map[string][]testEvent{
		"none":         nil,
		"empty":        {},
		"zero":         at(func(int, int64) int64 { return 0 }),
		"milliseconds": at(func(_ int, time int64) int64 { return time * 1000 }),
		"extremes":     at(func(k int, _ int64) int64 { return []int64{math.MinInt64, math.MaxInt64, 0}[k%3] }),
		"one event":    acted[:1],
		"one user":     slices.DeleteFunc(slices.Clone(acted), func(e testEvent) bool { return e.user != "user-0001" }),
		"others":       {{user: "who has no interactions", item: "not in Actions", kind: "odd", time: 1}},
	} {
		m, manifest := actionModelOf(t, actionData(interactions, acted))
		for _, p := range m.Propensities(&ActionQuery{Query: Query{User: "user-0001", Known: true}, Acting: true}, []string{"action-0", "rare", "unseen"}) {
			if !(p >= 0 && p <= 1) || (name == "none" || name == "empty") && p != 0 {
				t.Errorf("%s: propensity %v", name, p)
			}
		}
		for metric, v := range manifest.Metrics {
			if !(v >= 0 && v <= 1) {
				t.Errorf("%s: %s is %v", name, metric, v)
			}
		}
	}
}

func TestActionsForgetUsers(t *testing.T) {
	interactions, acted := tastyUsers(5, 150)
	gone := []string{"user-0004", "user-0077", "only acts", "only looks", "only is"}
	rest := func(events []testEvent) []testEvent {
		return slices.DeleteFunc(slices.Clone(events), func(e testEvent) bool { return slices.Contains(gone, e.user) })
	}
	rows := [][2]string{{"user-0001", "fr|de"}, {"user-0002", "de"}, {"lurker", "be"}}
	everybody := actionData(append(slices.Clone(interactions), testEvent{"only looks", "his own", "view", actionEnd, 0}),
		append(slices.Clone(acted), testEvent{"only acts", "his action", "his word", actionEnd + 9, 0}, testEvent{"only acts", "action-1", "taken", actionEnd + 10, 0}))
	everybody.Users = profiles(t, append(slices.Clone(rows), [2]string{"user-0077", "at"}, [2]string{"only is", "ch"})...)
	never := actionData(rest(interactions), rest(acted))
	never.Users = profiles(t, rows...)
	forgets(t, everybody, never, gone, Config{Recipe: nextBestAction, Seed: 2, Params: map[string]string{"action_optimization_period": "7"}})
}
