package serve

import (
	"context"
	"slices"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/recipe"
)

// GetPersonalizedRanking orders a given list of items for a user.
func (s *Service) GetPersonalizedRanking(ctx context.Context, in *api.GetPersonalizedRankingRequest) (*api.GetPersonalizedRankingResponse, error) {
	limit := maxResults
	if len(in.MetadataColumns) > 0 {
		limit = maxWithMetadata
	}
	switch {
	case in.UserID == "":
		return nil, api.Errorf(api.InvalidInput, "userId is required.")
	case len(in.InputList) == 0:
		return nil, api.Errorf(api.InvalidInput, "inputList must name at least one item.")
	case slices.Contains(in.InputList, ""):
		return nil, api.Errorf(api.InvalidInput, "inputList cannot name an item by an empty text.")
	case len(in.InputList) > limit:
		return nil, api.Errorf(api.InvalidInput, "inputList can name at most %d items.", limit)
	}
	t, m, err := s.deployed(ctx, func() (*target, uint64, error) {
		t, version, err := s.only(ctx, in.CampaignARN, in.FilterARN, in.FilterValues, in.UserID)
		if err == nil && t.recipe.Type != recipe.PersonalizedRanking {
			err = t.wrongOperation("GetPersonalizedRanking")
		}
		return t, version, err
	})
	if err != nil {
		return nil, err
	}
	defer s.models.release(m)

	columns, err := t.columns(in.MetadataColumns)
	if err != nil {
		return nil, err
	}
	buf := buffers.Get().(*[]recipe.Scored)
	defer buffers.Put(buf)
	q := s.query(t, m, in.UserID, len(in.InputList))
	q.Context = in.Context
	sel, err := s.narrow(ctx, t, m, &q, in.FilterARN, in.FilterValues)
	if err != nil {
		return nil, err
	}
	defer sel.close()
	*buf = m.Rank(q, in.InputList, *buf)
	if err := sel.failure(); err != nil {
		return nil, err
	}

	list := t.present(*buf)
	if err := s.addMetadata(ctx, t, columns, list); err != nil {
		return nil, err
	}
	return &api.GetPersonalizedRankingResponse{PersonalizedRanking: list, RecommendationID: s.remember(t, list)}, nil
}

// only finds a campaign that serves, for an operation that takes nothing else.
func (s *Service) only(ctx context.Context, arn, filter string, values map[string]string, user string) (*target, uint64, error) {
	t, version, err := s.campaign(ctx, arn)
	if err != nil {
		return nil, 0, err
	}
	if err := s.refuseFilters(ctx, t, filter, values, user, nil); err != nil {
		return nil, 0, err
	}
	return t, version, t.refusal
}

func (t *target) unsupported() error {
	return api.Errorf(api.InvalidInput, "This build does not support the recipe %s.", t.recipe.Name)
}

// wrongOperation names the operation that the campaign's recipe answers.
func (t *target) wrongOperation(asked string) error {
	right := "GetRecommendations"
	switch t.recipe.Type {
	case recipe.PersonalizedRanking:
		right = "GetPersonalizedRanking"
	case recipe.PersonalizedActions:
		right = "GetActionRecommendations"
	}
	return api.Errorf(api.InvalidInput, "%s does not work with the recipe %s. Use %s.", asked, t.recipe.Name, right)
}
