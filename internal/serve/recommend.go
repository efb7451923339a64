package serve

import (
	"context"
	"math/rand/v2"
	"sync"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/recipe"
	"github.com/palate-dev/palate/internal/schema"
)

const (
	defaultResults  = 25
	maxResults      = 500
	maxWithMetadata = 50
)

// GetRecommendations answers with the best items for a user.
func (s *Service) GetRecommendations(ctx context.Context, in *api.GetRecommendationsRequest) (*api.GetRecommendationsResponse, error) {
	n, err := results(in.NumResults, in.MetadataColumns)
	if err != nil {
		return nil, err
	}
	if (in.CampaignARN == "") == (in.RecommenderARN == "") {
		return nil, api.Errorf(api.InvalidInput, "Exactly one of campaignArn and recommenderArn is required.")
	}
	t, m, err := s.deployed(ctx, func() (*target, uint64, error) { return s.asked(ctx, in) })
	if err != nil {
		return nil, err
	}
	defer s.models.release(m)

	columns, err := t.columns(in.MetadataColumns)
	if err != nil {
		return nil, err
	}
	q := s.query(t, m, in.UserID, n)
	q.Item, q.Context = in.ItemID, in.Context
	promoted, err := s.promote(ctx, t, m, &q, in.Promotions)
	if err != nil {
		return nil, err
	}
	list, err := s.list(ctx, t, m, q, in.FilterARN, in.FilterValues)
	if err != nil {
		return nil, err
	}
	list = scatter(promoted, list)
	if err := s.addMetadata(ctx, t, columns, list); err != nil {
		return nil, err
	}
	return &api.GetRecommendationsResponse{ItemList: list, RecommendationID: s.remember(t, list)}, nil
}

// list asks a query under a filter.
func (s *Service) list(ctx context.Context, t *target, m *model, q recipe.Query, filter string, values map[string]string) ([]api.PredictedItem, error) {
	sel, err := s.narrow(ctx, t, m, &q, filter, values)
	if err != nil {
		return nil, err
	}
	defer sel.close()
	buf := buffers.Get().(*[]recipe.Scored)
	defer buffers.Put(buf)
	*buf = m.Recommend(q, *buf)
	if err := sel.failure(); err != nil {
		return nil, err
	}
	return t.present(*buf), nil
}

// deployed returns the target of a request, which asked finds and checks, with its model, which the caller must release.
func (s *Service) deployed(ctx context.Context, asked func() (*target, uint64, error)) (*target, *model, error) {
	for {
		t, version, err := asked()
		if err != nil {
			return nil, nil, err
		}
		m, err := s.models.acquire(ctx, t.arn, version, t.model)
		if err == nil {
			return t, m, nil
		}
		if version == s.catalog.db.Version() || ctx.Err() != nil {
			return nil, nil, err
		}
		// The rows changed since they were read, and the model with them.
	}
}

// asked looks up what the request names and checks the request against it.
func (s *Service) asked(ctx context.Context, in *api.GetRecommendationsRequest) (t *target, version uint64, err error) {
	if in.CampaignARN != "" {
		t, version, err = s.campaign(ctx, in.CampaignARN)
	} else {
		t, version, err = s.recommender(ctx, in.RecommenderARN)
	}
	if err != nil {
		return nil, 0, err
	}
	if err := s.refuseFilters(ctx, t, in.FilterARN, in.FilterValues, in.UserID, in.Promotions); err != nil {
		return nil, 0, err
	}
	if t.refusal != nil {
		return nil, 0, t.refusal
	}
	if err := t.check(in.UserID, in.ItemID); err != nil {
		return nil, 0, err
	}
	return t, version, s.refusePromotions(ctx, t, in.Promotions, in.UserID)
}

// check holds the ids of a GetRecommendations request against the recipe.
func (t *target) check(user, item string) error {
	switch r := t.recipe; {
	case r.Type == recipe.PersonalizedRanking || r.Type == recipe.PersonalizedActions:
		return t.wrongOperation("GetRecommendations")
	case r.NeedsUser && user == "":
		return api.Errorf(api.InvalidInput, "userId is required for recommendations of the recipe %s.", r.Name)
	case r.NeedsItem && item == "":
		return api.Errorf(api.InvalidInput, "itemId is required for recommendations of the recipe %s.", r.Name)
	case !r.Trainable:
		return t.unsupported()
	}
	return nil
}

// results reads numResults: 0 and absent mean the default.
func results(asked *int, metadata map[string][]string) (int, error) {
	n, limit := defaultResults, maxResults
	if asked != nil && *asked != 0 {
		n = *asked
	}
	if len(metadata) > 0 {
		limit = maxWithMetadata
	}
	if n < 0 || n > limit {
		return 0, outOfRange("numResults", limit, len(metadata) > 0)
	}
	return n, nil
}

func outOfRange(member string, limit int, metadata bool) error {
	if metadata {
		return api.Errorf(api.InvalidInput, "%s must be at most %d if metadataColumns are requested.", member, limit)
	}
	return api.Errorf(api.InvalidInput, "%s must be between 0 and %d.", member, limit)
}

// refuseFilters refuses what a request cannot have. A filter that does not exist is reported first.
func (s *Service) refuseFilters(ctx context.Context, t *target, arn string, values map[string]string, user string, promotions []api.Promotion) error {
	f, err := s.filter(ctx, arn)
	if err != nil {
		return err
	}
	for _, p := range promotions {
		if _, err := s.filter(ctx, p.FilterARN); err != nil {
			return err
		}
	}
	switch {
	case f == nil && len(values) > 0:
		return api.Errorf(api.InvalidInput, "filterValues need a filterArn.")
	case f != nil && t.refusal == nil:
		return f.check(t, user)
	}
	return nil
}

// narrow adds the filter of a request to a query; nil without one. Whoever asks the query must ask the selection for its error afterwards, and close it.
func (s *Service) narrow(ctx context.Context, t *target, m *model, q *recipe.Query, arn string, values map[string]string) (*selection, error) {
	f, err := s.filter(ctx, arn)
	if f == nil || err != nil {
		return nil, err
	}
	if err := f.check(t, q.User); err != nil { // again: it may have changed since
		return nil, err
	}
	sel, err := s.selects(ctx, t, f, values, q.User, q.Item)
	if err != nil {
		return nil, err
	}
	also := q.Exclude
	q.Exclude = func(item string) bool { return also != nil && also(item) || sel.excludes(ctx, item) }
	if sel.of == schema.Items {
		if err := sel.compile(m); err != nil {
			return nil, err
		}
	}
	switch c := sel.compiled; {
	case c != nil && also == nil:
		q.Excluded, q.Allowed = c.Drops, c.Kept()
	case c != nil:
		q.Excluded = func(code int32) bool { return c.Drops(code) || also(m.Item(code)) }
	}
	return sel, nil
}

// query is the question to the model: who asks, and what he did since it was trained.
func (s *Service) query(t *target, m *model, user string, n int) recipe.Query {
	q := recipe.Query{User: user, Known: true, N: n, Influence: t.influence}
	if user != "" {
		q.Live, q.Known = s.engine.Since(t.events, user, m.Manifest().Seq, s.strict)
	}
	if t.recipe.Excludes != "" {
		q.Exclude = t.exclude(m, q)
	}
	q.Fresh, q.Newcomers = s.fresh.of(t)
	if t.exploration.Weight > 0 || t.reasoned() {
		q.ExplorationWeight, q.CutOff = t.exploration.Weight, t.exploration.CutOff
		q.RequestSeed = rand.Uint64() | 1
	}
	return q
}

// present makes the items of a response.
func (t *target) present(scored []recipe.Scored) []api.PredictedItem {
	list := make([]api.PredictedItem, len(scored))
	scores := make([]float64, len(scored))
	for i, s := range scored {
		list[i].ItemID = s.Item
		if s.HasScore && t.scored() {
			scores[i] = s.Score
			list[i].Score = &scores[i]
		}
		if s.Reason != "" && t.reasoned() {
			list[i].Reason = []string{s.Reason}
		}
	}
	return list
}

// buffers keeps the result lists of answered requests.
var buffers = sync.Pool{New: func() any { return new([]recipe.Scored) }}
