package recipe

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/palate-dev/palate/internal/dataset"
)

// An Explanation tells what puts one item where it is in the answers of a model. The Parts add up to the Relevance by which answers are ordered, but for the
// rounding of float32; recipes whose order is no sum have none, and say in Order what it is.
type Explanation struct {
	Order  string `json:"order"`           // what the answers of the recipe are ordered by
	Reason string `json:"reason"`          // why this item is there, or is not, in a sentence
	Place  int    `json:"place"`           // among all that the model could answer, before any filter, the first being 1; 0: nowhere
	Of     int    `json:"of"`              // how many these are
	Steps  int    `json:"steps"`           // how many steps the model sees in what the user did
	Basis  string `json:"basis,omitempty"` // what the model knows of the user

	Relevance *float64 `json:"relevance,omitempty"`
	Parts     []Part   `json:"parts,omitempty"`
	RankedBy  *float64 `json:"rankedBy,omitempty"` // where it is not the relevance itself
	Ranking   string   `json:"ranking,omitempty"`  // how RankedBy comes of the relevance
	Score     *float64 `json:"score,omitempty"`    // as answers have it

	Like        []Neighbour `json:"like,omitempty"`        // the items by which an item with few or no events is estimated, the most alike first
	Exploration string      `json:"exploration,omitempty"` // whether the item may be shown without regard to its place
}

// A Part is what one thing adds to the relevance.
type Part struct {
	From   string  `json:"from"`             // one of the Parts below
	Item   string  `json:"item,omitempty"`   // of an event: what the user had to do with
	Type   string  `json:"type,omitempty"`   // and how
	Time   int64   `json:"time,omitempty"`   // and when, in seconds since 1970
	Live   bool    `json:"live,omitempty"`   // and whether that was after the training
	Column string  `json:"column,omitempty"` // of an attribute or a context
	Value  string  `json:"value,omitempty"`
	Factor float64 `json:"factor,omitempty"` // of a context: what it multiplies the relevance by
	Adds   float64 `json:"adds"`
}

// What parts are from.
const (
	FromEvent      = "event"          // something that the user did
	FromAttribute  = "user attribute" // what users with the same value of an attribute have
	FromPopularity = "popularity"     // what holds for everybody
	FromContext    = "context"        // the situation of the request
	FromHistory    = "already had"    // items of the history go to the end, where nobody comes back to an item
	FromLikeness   = "similarity"     // to the item that the request is about
	FromFreshness  = "freshness"
	FromAction     = "action"      // how often everybody takes the action
	FromAnswers    = "own answers" // how often the user takes actions
	FromThisAnswer = "own answers to this action"
	FromItems      = "latest items"              // how often users of the same items take the action
	FromItemLevels = "attributes of these items" // and of items with the same attributes
	FromUserLevels = "attributes of the user"
)

// A Neighbour is an item by which another one is estimated.
type Neighbour struct {
	Item   string  `json:"item"`
	Weight float64 `json:"weight"`           // of all neighbours 1
	Shared []Level `json:"shared,omitempty"` // attributes that both have
}

// A Level is a value of a categorical column.
type Level struct {
	Column string `json:"column"`
	Value  string `json:"value"`
}

// shownNeighbours bounds Explanation.Like.
const shownNeighbours = 10

// Explain tells what puts an item where it is in the answers to q, without exploration and filters. ranking says that the answers are those of Rank, to a list
// of all items. The model must not be one of actions.
func (m *Model) Explain(q Query, item string, ranking bool) (*Explanation, error) {
	switch {
	case m.related != nil:
		return m.explainRelated(&q, item), nil
	case m.ranker == nil:
		return m.explainPopular(item)
	}
	return m.explainPersonal(&q, item, ranking), nil
}

// unknown is the explanation of an item that the model does not have.
func (m *Model) unknown(item string) string {
	if _, listed := m.Code(item); listed {
		return "The model has no events of the item that it was trained on."
	}
	return "The model does not know the item: it was in none of the data that it was trained on."
}

func (m *Model) explainPersonal(q *Query, item string, ranking bool) *Explanation {
	if q.Newcomers == nil {
		q.Newcomers = m.newcomers
	}
	x := &Explanation{Order: "Items are ordered by relevance: what each of the user's latest events adds by the item-to-item model, what his attributes add, and the popularity of the item."}
	code, known := m.known(q.Newcomers, item)
	near, weight := m.neighbours(q.Newcomers, code)
	if known {
		q.trace = newTrace(append(slices.Clone(near), code)...)
	}
	s := m.ask(q)
	defer m.ranker.release(s)
	m.ranker.estimate(s)
	x.Steps, x.Basis = len(s.steps), m.basis(s, q)
	x.Exploration = m.explainExploration(q, item, ranking)
	if !known {
		x.Reason = m.unknown(item) + " Nothing is known of its attributes, either, by which it could be estimated."
		return x
	}
	e := explaining{m, q, s, code, near, weight, ranking}
	x.Like = e.like()
	how := e.mixture()
	x.Parts = e.parts(how)
	r := ranked{code, how.relevance}
	x.Relevance = new(float64(r.relevance))
	if m.ranker.goal != nil {
		r = m.ranker.at(s, code)
		x.RankedBy = new(float64(r.relevance))
		o := m.manifest.Config.Objective
		x.Ranking = fmt.Sprintf("relevance^(1-w) · value^w with w = %g and the value %.4g, which is the item's %s scaled to 0.01 .. 1: the optimizationObjective of the solution",
			float64(o.Sensitivity)/4, m.ranker.worth(s, code), o.Attribute)
	}
	x.Reason = e.place(x, r)
	return x
}

// neighbours are the items by which the item of a code is estimated, if it is, with weights that sum to 1.
func (m *Model) neighbours(n *Newcomers, code int32) ([]int32, []float32) {
	switch e := m.ranker.cold; {
	case int(code) >= len(m.items):
		return n.near.of(code - int32(len(m.items)))
	case code >= 0 && e.has(code):
		return e.near.of(e.place[code])
	}
	return nil, nil
}

// basis tells what the model knows of the user.
func (m *Model) basis(s *scratch, q *Query) string {
	switch {
	case len(s.steps) == 0 && len(s.values) == 0:
		return "Nothing is known of the user: he is answered as an anonymous visitor, by popularity and context."
	case len(s.steps) == 0:
		return "The user did nothing that the model knows; his attributes are known."
	}
	seen := min(len(s.steps), len(m.ranker.decay))
	return fmt.Sprintf("The user did %d things that the model knows, of which the latest %d count, the newest most.", len(s.steps), seen)
}

// explaining is one explanation by a model of personalization under way.
type explaining struct {
	*Model
	q       *Query
	s       *scratch
	code    int32
	near    []int32
	weight  []float32
	ranking bool
}

// mixture tells how the relevance of an item is made: base, and of the gains of some items, by weight.
type mixture struct {
	relevance float32
	base      float64
	of        []entry
	had       bool
}

// mixture follows ranker.of, and for lists ranker.top.
func (e *explaining) mixture() mixture {
	k, s, i := e.ranker, e.s, e.code
	neighbours := func(gain float32) (of []entry) {
		for n, j := range e.near {
			if s.has(j) && s.state[j]&stateSeen == 0 {
				of = append(of, entry{j, float32(gain * e.weight[n])})
			}
		}
		return of
	}
	if int(i) >= len(k.prior) {
		prior := 0.0
		for n, j := range e.near {
			prior += float64(e.weight[n]) * float64(k.prior[j])
		}
		return mixture{relevance: k.of(s, i), base: float64(k.carry) * prior, of: neighbours(k.carry)}
	}
	out := mixture{relevance: k.of(s, i), base: float64(k.prior[i]), had: s.state[i]&stateSeen != 0}
	listed := !e.ranking && k.goal == nil // the order of a list is found without the estimates of items that are far from its beginning
	if k.cold.has(i) && !out.had && !(listed && s.state[i]&stateEstimated == 0) {
		at := k.cold.place[i]
		out.of = append(neighbours(k.cold.gain[at]), entry{i, k.cold.own[at]})
		return out
	}
	if listed {
		out.relevance = k.inList(s, i)
	}
	out.of = []entry{{i, 1}}
	return out
}

// parts turns a mixture into parts, the greatest first.
func (e *explaining) parts(how mixture) []Part {
	in := e.situations(e.q.Context)
	causes, contexts := map[cause]float64{}, map[int]float64{}
	for _, of := range how.of {
		e.q.trace.gains(of.item, e.ranker.prior[of.item], func(c cause, situation int, value float64) {
			if value *= float64(of.value); situation >= 0 {
				contexts[situation] += value
			} else {
				causes[c] += value
			}
		})
	}
	parts := []Part{{From: FromPopularity, Adds: how.base}}
	if how.had {
		parts = append(parts, Part{From: FromHistory, Adds: -demotion})
	}
	kinds := e.kinds()
	for c, adds := range causes {
		p := Part{From: FromAttribute, Adds: adds}
		if c.step >= 0 {
			h := e.s.steps[c.step]
			kind := kinds[itemTime{e.name(e.q.Newcomers, h.item), h.time}]
			p = Part{From: FromEvent, Item: e.name(e.q.Newcomers, h.item), Type: kind.name, Time: h.time, Live: kind.live, Adds: adds}
		} else {
			p.Column, p.Value = e.ranker.tastes.name(c.value)
		}
		parts = append(parts, p)
	}
	for at, adds := range contexts {
		p := Part{From: FromContext, Column: in[at].column, Value: in[at].value, Adds: adds}
		if len(how.of) == 1 {
			p.Factor = float64(in[at].factor(how.of[0].item))
		}
		parts = append(parts, p)
	}
	slices.SortFunc(parts, func(a, b Part) int {
		return cmp.Or(cmp.Compare(math.Abs(b.Adds), math.Abs(a.Adds)), cmp.Compare(b.Time, a.Time), cmp.Compare(a.Item+a.Column+a.Value, b.Item+b.Column+b.Value))
	})
	return parts
}

type itemTime struct {
	item string
	time int64
}

// kinds finds the types of the events that steps stand for, and which of them are newer than the training.
func (e *explaining) kinds() map[itemTime]struct {
	name string
	live bool
} {
	kinds := map[itemTime]struct {
		name string
		live bool
	}{}
	note := func(events []dataset.LiveEvent, live bool) {
		for _, ev := range events {
			kinds[itemTime{ev.Item, ev.Time}] = struct {
				name string
				live bool
			}{ev.Type, live}
		}
	}
	if e.q.Known {
		note(e.History(e.q.User), false)
	}
	note(e.q.Live, true)
	return kinds
}

// place fills in the item's place and score and returns the reason of either.
func (e *explaining) place(x *Explanation, at ranked) string {
	k, s, i := e.ranker, e.s, e.code
	warm := int(i) < len(e.items) && e.count[i] > 0
	if e.ranking {
		// Of a list with all items, those with events come first.
		x.Place, x.Of = 1, 0
		newcomers := 0
		if e.q.Newcomers != nil {
			newcomers = len(e.q.Newcomers.ids)
		}
		for j := range int32(len(e.items) + newcomers) {
			inModel := int(j) < len(e.items)
			has := inModel && e.count[j] > 0
			switch {
			case inModel && !has && !k.cold.has(j):
				continue
			case has && !warm, has == warm && before(k.at(s, j), at) < 0:
				x.Place++
			}
			x.Of++
		}
		if warm {
			return "The place is that in a list of all items that the model knows."
		}
		return "The item has no events, but attributes: of a list it comes after all items that have events, by the relevance that those give that are most like it."
	}
	if int(i) >= len(e.items) {
		return "The item came to the Items dataset after the training. Until the next one it is in no list by its relevance, which is estimated: it can be explored, and rankings can place it."
	}
	scored := s.has(i)
	for j := range k.withScores(s) {
		x.Of++
		scored = scored || j == i
		r := ranked{j, k.inList(s, j)}
		if k.goal != nil {
			r = k.at(s, j)
		}
		if before(r, at) < 0 {
			x.Place++
		}
	}
	if !scored {
		x.Place = 0
		return fmt.Sprintf("Nothing that the user did points to the item, and it is not among the %d most popular ones: it has no score, and stands only at the end of lists that a filter has left short.", candidates)
	}
	x.Place++
	x.Score = new(round7(k.share(at) / k.total(s)))
	switch {
	case s.state[i]&stateSeen != 0:
		return "The user already had the item, and in these data hardly anybody comes back to an item: it goes behind all others."
	case s.state[i]&stateEstimated != 0:
		return "The item has few or no events: what its attributes say counts, by the items that are most like it."
	case !s.has(i):
		return "Nothing that the user did points to the item: it stands where its popularity puts it."
	}
	return "The item stands where its relevance for the user puts it."
}

// like tells of the items by which the item is estimated.
func (e *explaining) like() (list []Neighbour) {
	row := listedRows(e.shown)
	for n, j := range e.near[:min(len(e.near), shownNeighbours)] {
		neighbour := Neighbour{Item: e.items[j], Weight: float64(e.weight[n])}
		if int(e.code) < len(row) && e.itemRows != nil && row[e.code] >= 0 && row[j] >= 0 {
			neighbour.Shared = e.itemRows.shared(int(row[e.code]), int(row[j]))
		}
		list = append(list, neighbour)
	}
	return list
}

// shared lists the values of categorical columns that two rows have in common.
func (a *Attributes) shared(i, j int) (levels []Level) {
	for c := range a.Columns {
		of := &a.Columns[c]
		if of.Kind != Levels {
			continue
		}
		for _, l := range of.Of(i) {
			if slices.Contains(of.Of(j), l) {
				levels = append(levels, Level{of.Name, of.Level[l]})
			}
		}
	}
	return levels
}

// name tells which column and value the number of a value stands for.
func (t *userTastes) name(value int32) (column, text string) {
	for i := range t.columns {
		c := &t.columns[i]
		at := int(value - c.first)
		switch {
		case at < 0 || at >= int(c.values()):
		case c.Kind == Levels:
			return c.Name, c.Level[at]
		case at == 0:
			return c.Name, fmt.Sprintf("less than %g", c.edge[0])
		case at == len(c.edge):
			return c.Name, fmt.Sprintf("%g or more", c.edge[at-1])
		default:
			return c.Name, fmt.Sprintf("%g to %g", c.edge[at-1], c.edge[at])
		}
	}
	return "", ""
}

// explainExploration tells whether the item may be explored; "" if the target explores nothing.
func (m *Model) explainExploration(q *Query, item string, ranking bool) string {
	share, cutOff := m.explores(q)
	if share <= 0 || ranking || q.RequestSeed == 0 {
		return ""
	}
	novel := m.novel
	if q.Fresh != nil {
		novel = q.Fresh.novelty
	}
	what := fmt.Sprintf("Each place but the first shows, with a probability of %.2g, an item that is at most %g days older than the newest event.", share, cutOff)
	at, ok := slices.BinarySearch(novel.ids, item)
	switch {
	case !ok:
		return what + " This one is not among the items that the last update or training knew."
	case novel.recent(cutOff, at):
		return fmt.Sprintf("%s This one may be drawn; it was seen %d times, and the more that is the more rarely it is.", what, novel.seen[at])
	}
	return fmt.Sprintf("%s This one is %.1f days older.", what, float64(novel.newest-novel.appeared[at])/daySeconds)
}

func (m *Model) explainRelated(q *Query, item string) *Explanation {
	x := &Explanation{Order: "Items are ordered by how similar they are to the item that the request is about: by who has both, damped by popularity."}
	switch m.manifest.Recipe {
	case similarItems:
		x.Order = "Items are ordered by how similar they are to the item that the request is about: by who has both, and, the less is known of that, by their attributes."
	case semanticSimilarity:
		x.Order = "Items are ordered by how much of the words of their names and descriptions they share with the item that the request is about, and by what the campaign's rankingInfluence adds."
	}
	x.Basis = "The user does not count."
	query := int32(-1)
	if i, known := m.Code(q.Item); known {
		query = int32(i)
	}
	list := m.related.first(m.relatedRow(q, query), query, len(m.items), nil, nil)
	x.Of = len(list)
	code, known := m.Code(item)
	if known {
		x.Place = 1 + slices.Index(list, code)
	}
	var row []int32
	var similarity []float32
	if query >= 0 {
		row, similarity = m.related.of(query)
	}
	switch {
	case item == q.Item:
		x.Reason = "The item is the one that the request is about, which is never in its own list."
	case !known:
		x.Reason = m.unknown(item)
	case len(row) == 0 && x.Place == 0:
		x.Reason = "Nothing is known to be similar to the item that the request is about, so that its list is that of the popular items, and this item has no events."
	case len(row) == 0:
		x.Reason = "Nothing is known to be similar to the item that the request is about: its list is that of the popular items, the same for all."
	case x.Place == 0:
		x.Reason = fmt.Sprintf("The item is not among the %d that are most similar to the one that the request is about.", len(row))
	default:
		x.Reason = "The item stands where its similarity puts it."
		k := slices.Index(row, code)
		alike := float64(similarity[k])
		x.Parts = []Part{{From: FromLikeness, Item: q.Item, Adds: alike}}
		if m.influences(q) {
			a, p, f := m.semantics.weigh(code, similarity[k], similarity[0], m.semantics.mostPopular(row), q.Influence)
			x.Parts = []Part{{From: FromLikeness, Item: q.Item, Adds: a}, {From: FromPopularity, Adds: p}, {From: FromFreshness, Adds: f}}
			alike = a + p + f
		}
		x.Relevance = &alike
	}
	return x
}

func (m *Model) explainPopular(item string) (*Explanation, error) {
	x := &Explanation{Of: len(m.popular), Basis: "The user does not count: everybody gets the same list."}
	code, known := m.Code(item)
	if known {
		x.Place = 1 + slices.Index(m.popular, code)
	}
	if m.manifest.Recipe == trendingNow {
		return x, m.explainTrend(x, item)
	}
	what := "users who had an event with them"
	if entry, _ := Find(m.manifest.Config.Recipe); m.manifest.Config.CountEvents || entry != nil && entry.CountEvents {
		what = "their events"
	}
	if kind := m.manifest.Config.EventType; kind != "" {
		what += " of the type " + strconv.Quote(kind)
	}
	x.Order = "Items are ordered by the number of " + what + ", ties by id."
	if x.Place == 0 {
		x.Reason = m.unknown(item)
		return x, nil
	}
	count, err := array[int64](m.mapping, "popular.count")
	if err != nil {
		return nil, err
	}
	n := float64(count[x.Place-1])
	x.Relevance, x.Parts = &n, []Part{{From: FromPopularity, Adds: n}}
	x.Reason = "The item stands where its count puts it."
	return x, nil
}

func (m *Model) explainTrend(x *Explanation, item string) error {
	interval, prior := m.manifest.Settings["interval"], m.manifest.Settings["prior"]
	x.Order = fmt.Sprintf("Items with events in the latest interval of %.4g hours come first, by growth: (events in it + %g) / (events in the interval before + %g). Then come the others, by all their events.",
		interval/3600, prior, prior)
	if x.Place == 0 {
		x.Reason = m.unknown(item)
		return nil
	}
	recent, err1 := array[int64](m.mapping, "trend.recent")
	before, err2 := array[int64](m.mapping, "trend.before")
	if err := cmp.Or(err1, err2); err != nil {
		return err
	}
	r, b := recent[x.Place-1], before[x.Place-1]
	x.Reason = fmt.Sprintf("The item has %d events in the latest interval and %d in the one before.", r, b)
	if r > 0 { // a quotient, of which there are no parts
		x.Relevance = new((float64(r) + prior) / (float64(b) + prior))
	}
	return nil
}

// ExplainAction tells what puts an action where it is in the answers to q, before filters and exploration. actions are all that could be answered. The model must
// be one of next-best-action.
func (m *Model) ExplainAction(q *ActionQuery, action string) *Explanation {
	x := &Explanation{Order: "Actions are ordered by the probability that the user takes them, ties by VALUE and then by id."}
	s := m.acts
	known := m.actor(q)
	x.Steps = int(known.own.shown)
	x.Basis = fmt.Sprintf("The user had %d times to do with actions and took %d.", known.own.shown, known.own.taken)
	a, ok := s.index[action]
	switch {
	case !ok:
		x.Reason = "The model does not know the action: it was in none of the data that it was trained on. It has score 0, and exploration can show it."
		return x
	case s.scored[a] == 0:
		x.Reason = fmt.Sprintf("The action had too few answers of users in the latest %d days to tell its probability: it has score 0, and exploration can show it.", actionWindow/daySeconds)
		return x
	}
	f, p := s.features(a, &known.tokens, known.own, known.answers[action], nil)
	x.Parts = []Part{{From: FromAction, Adds: p}}
	for k, from := range []string{FromAnswers, FromThisAnswer, FromItems, FromItemLevels, FromUserLevels} {
		if adds := float64(s.weights[k] * f[k]); adds != 0 {
			x.Parts = append(x.Parts, Part{From: from, Adds: adds})
		}
	}
	raw := s.raw(&f, p)
	score := round7(s.calibrated(raw))
	x.Relevance, x.RankedBy, x.Score = &raw, &score, &score
	x.Ranking = "the share of taken actions among those of about that relevance in the training"
	x.Reason = "The action stands where its probability puts it."
	return x
}
