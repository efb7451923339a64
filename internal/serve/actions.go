package serve

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/recipe"
	"github.com/palate-dev/palate/internal/schema"
)

const (
	defaultActions = 5
	maxActions     = 100

	exploredActions = 0.2 // share of the places that actions without a score get at exploration weight 1
)

// GetActionRecommendations answers with the actions that a user most probably takes, by propensity, ties by VALUE and then by id. The actions are those of the
// Actions dataset as it is now: one that has expired, and one that repeats only after a time that is not over for the user, is left out. Actions of whose
// propensity the model cannot tell have score 0; exploration gives them some of the last places.
func (s *Service) GetActionRecommendations(ctx context.Context, in *api.GetActionRecommendationsRequest) (*api.GetActionRecommendationsResponse, error) {
	count := defaultActions
	switch n := in.NumResults; {
	case in.CampaignARN == "":
		return nil, api.Errorf(api.InvalidInput, "campaignArn is required.")
	case in.UserID == "":
		return nil, api.Errorf(api.InvalidInput, "userId is required.")
	case n != nil && (*n < 0 || *n > maxActions):
		return nil, outOfRange("numResults", maxActions, false)
	case n != nil && *n != 0:
		count = *n
	}
	t, m, err := s.deployed(ctx, func() (*target, uint64, error) {
		t, version, err := s.only(ctx, in.CampaignARN, in.FilterARN, in.FilterValues, in.UserID)
		if err == nil && t.recipe.Type != recipe.PersonalizedActions {
			err = t.wrongOperation("GetActionRecommendations")
		}
		return t, version, err
	})
	if err != nil {
		return nil, err
	}
	defer s.models.release(m)

	q := s.actionQuery(t, m, in.UserID, count)
	ids, scores, order, err := s.ordered(ctx, t, m, &q, in.FilterARN, in.FilterValues)
	if err != nil {
		return nil, err
	}
	order = exploreActions(order, scores, count, t.exploration.Weight)
	list := make([]api.PredictedAction, len(order))
	for place, i := range order {
		list[place] = api.PredictedAction{ActionID: ids[i], Score: &scores[i]}
	}
	return &api.GetActionRecommendationsResponse{ActionList: list, RecommendationID: s.remember(t, nil)}, nil
}

// actionQuery is the question to a model of actions.
func (s *Service) actionQuery(t *target, m *model, user string, n int) recipe.ActionQuery {
	q := recipe.ActionQuery{Query: s.query(t, m, user, n)}
	q.Acted, q.Acting = s.engine.ActionsSince(t.events, user, m.Manifest().Seq, s.strict)
	return q
}

// ordered returns the actions that can be answered under a filter with their scores, and their order before exploration.
func (s *Service) ordered(ctx context.Context, t *target, m *model, q *recipe.ActionQuery, filter string, values map[string]string) (ids []string, scores []float64, order []int, err error) {
	offered, err := s.actions.of(ctx, s.engine, t.actions)
	if err != nil {
		return nil, nil, nil, err
	}
	offered = open(offered, m.Acted(q), s.clock().Unix())
	sel, err := s.narrow(ctx, t, m, &q.Query, filter, values)
	if err != nil {
		return nil, nil, nil, err
	}
	if sel != nil {
		offered = slices.DeleteFunc(offered, func(a action) bool { return q.Exclude(a.id) })
		if err := sel.failure(); err != nil {
			return nil, nil, nil, err
		}
	}
	ids = make([]string, len(offered))
	for i, a := range offered {
		ids[i] = a.id
	}
	scores = m.Propensities(q, ids)
	order = make([]int, len(offered))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(scores[b], scores[a]), cmp.Compare(offered[b].value, offered[a].value), strings.Compare(ids[a], ids[b]))
	})
	return ids, scores, order, nil
}

// exploreActions cuts the order to n places, of which some of the last go to actions without a score that would have had none, drawn at random.
func exploreActions(order []int, scores []float64, n int, weight float64) []int {
	if len(order) <= n {
		return order
	}
	first := slices.IndexFunc(order, func(i int) bool { return scores[i] == 0 })
	explored := 0
	for range max(0, n-1) { // the first place is never given away
		if rand.Float64() < exploredActions*weight {
			explored++
		}
	}
	if first < 0 || first < n && first <= n-explored {
		return order[:n]
	}
	explored = min(explored, len(order)-first)
	tail := slices.Clone(order[first:])
	rand.Shuffle(len(tail), func(a, b int) { tail[a], tail[b] = tail[b], tail[a] })
	return append(slices.Clone(order[:n-explored]), tail[:explored]...)
}

// action is a row of the Actions dataset as far as requests look at it.
type action struct {
	id      string
	value   int64
	expires int64 // seconds since 1970; 0: never
	repeats int64 // days after the user's last interaction with it; 0: at once
}

// open leaves out the actions that have expired and those that the user had to do with too short a time ago.
func open(actions []action, acted []dataset.LiveEvent, now int64) []action {
	last := map[string]int64{}
	for _, e := range acted {
		if at, ok := last[e.Item]; !ok || e.Time > at {
			last[e.Item] = e.Time
		}
	}
	const day = 24 * 60 * 60
	return slices.DeleteFunc(slices.Clone(actions), func(a action) bool {
		at, met := last[a.id]
		return a.expires != 0 && a.expires <= now || met && a.repeats > 0 && at > now-a.repeats*day
	})
}

// actionTables remembers the rows of Actions datasets for as long as nothing comes into them. There are at most thousands.
type actionTables struct {
	mu   sync.Mutex
	rows map[string]actionTable // by name of the table
}

type actionTable struct {
	seq    int64
	schema *schema.Schema
	rows   []action
}

// of returns the rows of a table, which must not be changed.
func (c *actionTables) of(ctx context.Context, engine *dataset.Engine, t *dataset.Table) ([]action, error) {
	if t == nil {
		return nil, nil
	}
	seq, err := engine.Latest(ctx, *t) // before the rows: they may be newer than it says, never older
	if err != nil {
		return nil, fmt.Errorf("read the actions: %w", err)
	}
	c.mu.Lock()
	known, ok := c.rows[t.ID]
	c.mu.Unlock()
	if ok && known.seq == seq && known.schema == t.Schema {
		return known.rows, nil
	}
	rows, err := readActions(ctx, engine, t)
	if err != nil {
		return nil, fmt.Errorf("read the actions: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rows == nil {
		c.rows = map[string]actionTable{}
	}
	c.rows[t.ID] = actionTable{seq, t.Schema, rows}
	return rows, nil
}

func readActions(ctx context.Context, engine *dataset.Engine, t *dataset.Table) (rows []action, err error) {
	key, value, repeats := t.Schema.KeyField(), t.Schema.Match("VALUE"), t.Schema.Match("REPEAT_FREQUENCY")
	expires := t.Schema.Match("EXPIRATION_TIMESTAMP")
	if expires < 0 {
		expires = t.Schema.Match("ACTION_EXPIRATION_TIMESTAMP")
	}
	err = engine.Effective(ctx, *t, func(r dataset.Row) error {
		number := func(field int) int64 {
			if field < 0 || field >= len(r.Values) || !r.Values[field].Valid {
				return 0
			}
			return r.Values[field].Int
		}
		rows = append(rows, action{id: strings.Clone(r.Values[key].Str), value: number(value), expires: number(expires), repeats: number(repeats)})
		return nil
	})
	return rows, err
}
