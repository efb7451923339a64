package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/filter"
	"github.com/palate-dev/palate/internal/recipe"
	"github.com/palate-dev/palate/internal/schema"
)

// ExplainPath is where Explain is asked, by POST.
const ExplainPath = "/palate/explain"

// An ExplainRequest names a request for recommendations and an item that its answer has or has not.
type ExplainRequest struct {
	CampaignARN    string            `json:"campaignArn,omitempty"` // or
	RecommenderARN string            `json:"recommenderArn,omitempty"`
	UserID         string            `json:"userId,omitempty"`
	ItemID         string            `json:"itemId"`              // what is explained: an item, or the action of a recipe of actions
	RelatedTo      string            `json:"relatedTo,omitempty"` // itemId of the request for recommendations
	FilterARN      string            `json:"filterArn,omitempty"`
	FilterValues   map[string]string `json:"filterValues,omitempty"`
	Context        map[string]string `json:"context,omitempty"`
}

// An Explained is what puts the item where it is, or keeps it out.
type Explained struct {
	Recipe string `json:"recipe"`
	*recipe.Explanation

	Dataset  string           `json:"dataset,omitempty"`  // what is to be said of the item's record
	Excluded string           `json:"excluded,omitempty"` // why the item is left out whatever its relevance and the filter
	Filter   *ExplainedFilter `json:"filter,omitempty"`
	Answer   *int             `json:"answer,omitempty"` // place in the longest answer to the request, without exploration; 0: it is not in it. None for rankings.
}

// An ExplainedFilter tells what the filter of the request makes of the item.
type ExplainedFilter struct {
	Expression string           `json:"expression"`
	Keeps      bool             `json:"keeps"`
	Rules      []filter.Verdict `json:"rules"`
}

// Operations are those that are palate's own, in no API of the service: palate explain asks them.
func (s *Service) Operations() []api.Operation {
	return []api.Operation{{
		Name: "Explain", Method: http.MethodPost, Path: ExplainPath,
		Statuses: map[api.Code]int{api.InvalidInput: http.StatusBadRequest, api.ResourceNotFound: http.StatusNotFound},
		Call: func(ctx context.Context, body []byte) (any, error) {
			var in ExplainRequest
			d := json.NewDecoder(bytes.NewReader(body))
			d.DisallowUnknownFields()
			if d.Decode(&in) != nil {
				return nil, api.Errorf(api.Serialization, "The request is not the JSON object that Explain takes.")
			}
			return s.Explain(ctx, &in)
		},
	}}
}

// Explain tells what puts an item where it is in the answer to a request. It asks the model, the filter and the data of the moment as the request itself would.
func (s *Service) Explain(ctx context.Context, in *ExplainRequest) (*Explained, error) {
	switch {
	case (in.CampaignARN == "") == (in.RecommenderARN == ""):
		return nil, api.Errorf(api.InvalidInput, "Exactly one of campaignArn and recommenderArn is required.")
	case in.ItemID == "":
		return nil, api.Errorf(api.InvalidInput, "itemId is required: the item that is to be explained.")
	}
	t, m, err := s.deployed(ctx, func() (*target, uint64, error) { return s.explained(ctx, in) })
	if err != nil {
		return nil, err
	}
	defer s.models.release(m)
	e := explanation{Service: s, t: t, m: m, in: in}
	out := &Explained{Recipe: t.recipe.Name}
	if out.Dataset, err = e.record(ctx); err != nil {
		return nil, err
	}
	if out.Filter, err = e.filtered(ctx); err != nil {
		return nil, err
	}
	if t.recipe.Type == recipe.PersonalizedActions {
		return out, e.action(ctx, out)
	}
	return out, e.item(ctx, out)
}

// explained looks up what the request names and checks the request against it.
func (s *Service) explained(ctx context.Context, in *ExplainRequest) (*target, uint64, error) {
	if in.RecommenderARN != "" {
		return s.asked(ctx, &api.GetRecommendationsRequest{RecommenderARN: in.RecommenderARN, UserID: in.UserID, ItemID: in.RelatedTo, FilterARN: in.FilterARN, FilterValues: in.FilterValues})
	}
	t, version, err := s.only(ctx, in.CampaignARN, in.FilterARN, in.FilterValues, in.UserID)
	switch {
	case err != nil:
	case t.recipe.Type != recipe.PersonalizedRanking && t.recipe.Type != recipe.PersonalizedActions:
		err = t.check(in.UserID, in.RelatedTo)
	case in.UserID == "":
		err = api.Errorf(api.InvalidInput, "userId is required.")
	}
	return t, version, err
}

// explanation is one call of Explain.
type explanation struct {
	*Service
	t  *target
	m  *model
	in *ExplainRequest
}

// record tells whether the item is in its dataset.
func (e *explanation) record(ctx context.Context) (string, error) {
	table, kind := e.t.items, schema.Items
	if e.t.recipe.Type == recipe.PersonalizedActions {
		table, kind = e.t.actions, schema.Actions
	}
	if table == nil {
		return "", nil
	}
	_, found, err := e.engine.Lookup(ctx, *table, e.in.ItemID)
	switch {
	case err != nil:
		return "", fmt.Errorf("read the record of an item: %w", err)
	case found:
		return "", nil
	}
	return fmt.Sprintf("The %s dataset has no record of this id.", kind), nil
}

// filtered asks the filter rule by rule.
func (e *explanation) filtered(ctx context.Context) (*ExplainedFilter, error) {
	f, err := e.filter(ctx, e.in.FilterARN)
	if f == nil || err != nil {
		return nil, err
	}
	sel, err := e.selects(ctx, e.t, f, e.in.FilterValues, e.in.UserID, e.in.RelatedTo)
	if err != nil {
		return nil, err
	}
	record, err := sel.record(ctx, sel.of, e.in.ItemID)
	if err != nil {
		return nil, err
	}
	types := sel.types
	if types != nil { // those that no test asks for are told, too
		if types, err = sel.history(ctx, e.t, e.in.UserID, filter.Recent); err != nil {
			return nil, err
		}
	}
	out := &ExplainedFilter{Expression: f.parsed.String()}
	out.Rules, out.Keeps = f.parsed.Explain(sel.bound, sel.who, filter.Candidate{Record: record, Types: types[e.in.ItemID]})
	return out, nil
}

func (e *explanation) item(ctx context.Context, out *Explained) (err error) {
	q := e.query(e.t, e.m, e.in.UserID, maxResults)
	q.Item, q.Context = e.in.RelatedTo, e.in.Context
	if q.Exclude != nil && q.Exclude(e.in.ItemID) {
		out.Excluded = fmt.Sprintf("The use case leaves out what the user had an event %s with, as he had with this item.", e.t.recipe.Excludes)
	}
	ranking := e.t.recipe.Type == recipe.PersonalizedRanking
	if out.Explanation, err = e.m.Explain(q, e.in.ItemID, ranking); err != nil {
		return err
	}
	if !e.t.scored() {
		out.Score = nil
	}
	if ranking {
		return nil
	}
	q.RequestSeed = 0
	list, err := e.list(ctx, e.t, e.m, q, e.in.FilterARN, e.in.FilterValues)
	if err != nil {
		return err
	}
	out.answer(slices.IndexFunc(list, func(p api.PredictedItem) bool { return p.ItemID == e.in.ItemID }))
	return nil
}

// answer notes the index of the item in an answer, -1 for none.
func (x *Explained) answer(index int) {
	place := index + 1
	x.Answer = &place
}

func (e *explanation) action(ctx context.Context, out *Explained) error {
	q := e.actionQuery(e.t, e.m, e.in.UserID, maxActions)
	out.Explanation = e.m.ExplainAction(&q, e.in.ItemID)
	all, err := e.actions.of(ctx, e.engine, e.t.actions)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(all, func(a action) bool { return a.id == e.in.ItemID })
	if at >= 0 {
		out.Excluded = all[at].closed(e.m.Acted(&q), e.clock().Unix())
	}
	unfiltered := q
	ids, _, order, err := e.ordered(ctx, e.t, e.m, &unfiltered, "", nil)
	if err != nil {
		return err
	}
	place := func(ids []string, order []int) int {
		return slices.IndexFunc(order, func(i int) bool { return ids[i] == e.in.ItemID })
	}
	out.Place, out.Of = 1+place(ids, order), len(order)
	if ids, _, order, err = e.ordered(ctx, e.t, e.m, &q, e.in.FilterARN, e.in.FilterValues); err != nil {
		return err
	}
	out.answer(place(ids, order[:min(len(order), maxActions)]))
	return nil
}

// closed is why an action must not be answered now, "" if it may.
func (a action) closed(acted []dataset.LiveEvent, now int64) string {
	switch {
	case len(open([]action{a}, acted, now)) > 0:
		return ""
	case a.expires != 0 && a.expires <= now:
		return "The action has expired: its EXPIRATION_TIMESTAMP is over."
	}
	return fmt.Sprintf("The user had to do with the action less than %d days ago, which is its REPEAT_FREQUENCY.", a.repeats)
}
