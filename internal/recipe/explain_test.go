package recipe

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/palate-dev/palate/internal/dataset"
)

// holdsTogether asserts that the parts of an explanation add up to its relevance, as far as float32 can tell.
func holdsTogether(t *testing.T, of string, x *Explanation) {
	t.Helper()
	if x.Order == "" || x.Reason == "" || x.Basis == "" {
		t.Errorf("%s: something is not explained: %+v", of, x)
	}
	if x.Relevance == nil || len(x.Parts) == 0 {
		return
	}
	sum, size := 0.0, 0.0
	for _, p := range x.Parts {
		sum += p.Adds
		size += math.Abs(p.Adds)
		if (p.From == FromEvent) != (p.Item != "") && p.From != FromLikeness || p.From == FromContext && p.Value == "" || p.From == FromAttribute && p.Column == "" {
			t.Errorf("%s: a part from nowhere: %+v", of, p)
		}
	}
	if math.Abs(sum-*x.Relevance) > 1e-6*size {
		t.Errorf("%s: the parts add up to %v, the relevance is %v: %+v", of, sum, *x.Relevance, x.Parts)
	}
}

// explainsAnswers holds the explanations of all items to the whole answer to a query.
func explainsAnswers(t *testing.T, of string, m *Model, q Query, items []string) {
	t.Helper()
	q.N = len(items) + 1000
	place := map[string]int{}
	answer := m.Recommend(q, nil)
	for k, s := range answer {
		place[s.Item] = k + 1
	}
	last := make([]float64, len(answer)+1)
	for _, item := range items {
		x, err := m.Explain(q, item, false)
		if err != nil {
			t.Fatal(err)
		}
		name := of + ", " + item
		holdsTogether(t, name, x)
		at := place[item]
		if at > 0 && answer[at-1].Reason == "Popular item" {
			at = 0
		}
		if x.Place != at || at > x.Of {
			t.Errorf("%s: place %d of %d, but it is answered at %d (%s)", name, x.Place, x.Of, at, x.Reason)
			continue
		}
		if at == 0 {
			continue
		}
		if s := answer[at-1]; s.HasScore && (x.Score == nil || *x.Score != s.Score) {
			t.Errorf("%s: score %v, answered with %v", name, x.Score, s.Score)
		}
		if last[at] = math.Inf(-1); x.Relevance != nil {
			last[at] = *x.Relevance
		}
		if x.RankedBy != nil {
			last[at] = *x.RankedBy
		}
	}
	for k := 2; k < len(last); k++ {
		if last[k] > last[k-1] {
			t.Errorf("%s: what is explained to count is %v at place %d and %v before", of, last[k], k, last[k-1])
		}
	}
}

// explainsRankings is explainsAnswers for the ranking of a list of all items.
func explainsRankings(t *testing.T, of string, m *Model, q Query, items []string) {
	t.Helper()
	known := 0
	for k, s := range m.Rank(q, items, nil) {
		x, err := m.Explain(q, s.Item, true)
		if err != nil {
			t.Fatal(err)
		}
		holdsTogether(t, of+", "+s.Item, x)
		if x.Place == 0 {
			continue // nothing is known of it: it stands as the list has it
		}
		if known++; x.Place != k+1 {
			t.Errorf("%s, %s: place %d, ranked at %d", of, s.Item, x.Place, k+1)
		}
	}
	if known == 0 {
		t.Errorf("%s: nothing is ranked", of)
	}
}

// Of whatever can be trained, the explanations of all items are those of the answers that are given: the parts add up to the relevance, whose order is that of the answer.
func TestExplanationsAreThoseOfTheAnswers(t *testing.T) {
	d := world(t, nil)
	for name, cfg := range trainings() {
		switch cfg.Recipe {
		case itemAffinity, attributeAffinity, nextBestAction:
			continue // answers nobody, or with actions
		}
		if cfg.Search != nil {
			continue // is of the same kind
		}
		t.Run(name, func(t *testing.T) {
			m := open(t, trainData(t, d, cfg))
			items := append(slices.Clone(m.items), "never heard of")
			for user, q := range map[string]Query{
				"a user who was trained on": {User: "user-0003", Known: true},
				"and did something since":   {User: "user-0010", Known: true, Live: live("item-0003", "item-0046", "item-0004", "unheard of")},
				"attributes only":           {User: "user-0091", Known: true},
				"a stranger":                {User: "stranger", Known: true},
				"a stranger who came":       {User: "stranger", Known: true, Live: live("item-0007", "item-0047")},
			} {
				q.Item = "item-0005"
				explainsAnswers(t, user, m, q, items)
				if m.ranker != nil {
					explainsRankings(t, user, m, q, items)
				}
			}
			explainsAnswers(t, "for an item without events", m, Query{User: "user-0003", Known: true, Item: "item-0048"}, items)
			explainsAnswers(t, "for no item that is known", m, Query{User: "user-0003", Known: true, Item: "nothing"}, items)
			explainsAnswers(t, "under influence", m, Query{Item: "item-0005", Influence: Influence{Popularity: 0.7, Freshness: 0.4}}, items)
		})
	}
}

func TestExplanationsHoldWithContextAndGoalAndNewcomers(t *testing.T) {
	m := open(t, trainData(t, Data{Events: hours(120, 40)}, Config{Recipe: personalizationV1, Seed: 1}))
	for _, context := range []map[string]string{{"HOUR": "20.5"}, {"hour": "8.2"}, {"HOUR": "late"}} {
		explainsAnswers(t, fmt.Sprint(context), m, Query{User: "user-004", Known: true, Live: live("item-003", "item-011"), Context: context}, m.items)
		explainsRankings(t, fmt.Sprint(context), m, Query{User: "user-004", Known: true, Context: context}, m.items)
	}
	x, _ := m.Explain(Query{Context: map[string]string{"HOUR": "20.5"}}, "item-003", false)
	if !slices.ContainsFunc(x.Parts, func(p Part) bool { return p.From == FromContext && p.Factor > 1 && p.Adds > 0 && p.Column == "HOUR" }) {
		t.Errorf("an item of the night at night: %+v", x.Parts)
	}

	for _, sensitivity := range []string{"OFF", "LOW", "HIGH"} {
		o, err := NewOptimization("price", sensitivity)
		if err != nil {
			t.Fatal(err)
		}
		m, _ := trainOn(t, Data{Events: makeEvents(walks(3, 200, 50, 10)), Items: priced(t, 50, "item-0049")}, Config{Recipe: personalizationV1, Seed: 1, Objective: o})
		explainsAnswers(t, sensitivity, m, Query{Live: live("item-0020", "item-0021")}, m.items)
		explainsRankings(t, sensitivity, m, Query{Live: live("item-0020", "item-0021")}, m.items)
	}

	for _, recipe := range []string{personalizationV1, personalizationV2} {
		m := open(t, trainData(t, beforeTheCold(t), Config{Recipe: recipe, Seed: 2}))
		n := admit(t, m, genreRows())
		q := Query{User: "user-001", Known: true, Newcomers: n, Live: live(genreItem(1, 2), coldItems()[1])}
		explainsAnswers(t, recipe, m, q, append(slices.Clone(m.items), coldItems()...))
		explainsRankings(t, recipe, m, q, append(slices.Clone(m.items), coldItems()...))
		x, _ := m.Explain(q, coldItems()[1], true)
		if len(x.Like) == 0 || x.Relevance == nil {
			t.Errorf("%s: a newcomer is explained by %+v", recipe, x)
		}
	}
	trained := open(t, trainData(t, genreFans(t), Config{Recipe: personalizationV1, Seed: 2}))
	explainsAnswers(t, "estimates", trained, Query{User: "user-001", Known: true, Live: live(coldItems()[1])}, trained.items)
	x, _ = trained.Explain(Query{User: "user-001", Known: true}, coldItems()[1], false)
	if len(x.Like) == 0 || len(x.Like[0].Shared) == 0 || x.Like[0].Shared[0].Column != "GENRES" || !slices.ContainsFunc(x.Parts, func(p Part) bool { return p.From == FromEvent && p.Adds > 0 }) {
		t.Errorf("an item without events is explained by %+v", x)
	}
	x, _ = trained.Explain(Query{}, "unheard of", false)
	if x.Place != 0 || !strings.Contains(x.Reason, "no events") || !strings.Contains(x.Reason, "attributes") {
		t.Errorf("an item of which nothing is known: %+v", x)
	}
}

// What the parts name are the user's own events, and the values of his attributes.
func TestPartsNameWhatTheUserDid(t *testing.T) {
	m := open(t, trainData(t, world(t, nil), Config{Recipe: personalizationV1, Seed: 5}))
	did := m.History("user-0003")
	since := live("item-0041")
	q := Query{User: "user-0003", Known: true, Live: since}
	trained, streamed, attributes := 0, 0, map[string]bool{}
	for _, item := range m.items {
		x, err := m.Explain(q, item, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range x.Parts {
			same := func(e dataset.LiveEvent) bool { return e.Item == p.Item && e.Type == p.Type && e.Time == p.Time }
			switch {
			case p.From == FromAttribute:
				attributes[p.Column+" "+p.Value] = true
			case p.From != FromEvent:
			case p.Live && slices.ContainsFunc(since, same):
				streamed++
			case !p.Live && slices.ContainsFunc(did, same):
				trained++
			default:
				t.Errorf("%s: %+v is no event of the user", item, p)
			}
		}
	}
	if trained == 0 || streamed == 0 || !attributes["LAND land-3"] {
		t.Errorf("%d trained and %d streamed events have a part, and %v", trained, streamed, attributes)
	}
}

func TestActionsAreExplained(t *testing.T) {
	m, _ := actionModelOf(t, actionData(tastyUsers(1, 300)))
	q := ActionQuery{Query: Query{User: "user-0004", Known: true, Live: []dataset.LiveEvent{{Item: "item-1-1", Type: "view", Time: actionEnd}}}, Acting: true}
	actions := []string{"action-0", "action-1", "action-2", "rare", "unseen", "never heard of"}
	scores := m.Propensities(&q, actions)
	for k, a := range actions {
		x := m.ExplainAction(&q, a)
		holdsTogether(t, a, x)
		if scores[k] == 0 {
			if x.Score != nil || !strings.Contains(x.Reason, "score 0") {
				t.Errorf("%s has score 0 and is explained by %+v", a, x)
			}
			continue
		}
		if x.Score == nil || *x.Score != scores[k] || len(x.Parts) < 3 {
			t.Errorf("%s has score %v and is explained by %+v", a, scores[k], x)
		}
	}
}

func TestExplorationIsExplained(t *testing.T) {
	m := ringModel(t, personalizationV1)
	says := func(q Query, item string) string {
		q.RequestSeed, q.ExplorationWeight = 1, 0.5
		x, err := m.Explain(q, item, false)
		if err != nil {
			t.Fatal(err)
		}
		return x.Exploration
	}
	if text := says(Query{CutOff: 30}, "unborn-1"); !strings.Contains(text, "0.1,") || !strings.Contains(text, "may be drawn") {
		t.Errorf("a new item: %q", text)
	}
	if text := says(Query{CutOff: 0}, "item-0001"); !strings.Contains(text, "days older") {
		t.Errorf("an old item: %q", text)
	}
	if text := says(Query{CutOff: 30}, "never heard of"); !strings.Contains(text, "not among") {
		t.Errorf("no item: %q", text)
	}
	if x, _ := m.Explain(Query{ExplorationWeight: 0.5}, "unborn-1", false); x.Exploration != "" {
		t.Errorf("without a draw: %q", x.Exploration)
	}
}
