package serve

import (
	"context"
	"math/rand/v2"
	"slices"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/recipe"
)

const promotedItem = "Promoted item" // the reason of an item that is in a list because of a promotion

// refusePromotions refuses promotions that the request cannot have. Their filters exist.
func (s *Service) refusePromotions(ctx context.Context, t *target, promotions []api.Promotion, user string) error {
	if len(promotions) > 0 && !t.recipe.Has(recipe.Promotions) {
		return api.Errorf(api.InvalidInput, "The recipe %s does not support promotions.", t.recipe.Name)
	}
	for _, p := range promotions {
		if p.PercentPromotedItems == nil || p.FilterARN == "" {
			return api.Errorf(api.InvalidInput, "A promotion needs percentPromotedItems and a filterArn.")
		}
		f, err := s.filter(ctx, p.FilterARN)
		if err != nil {
			return err
		}
		if err := f.check(t, user); err != nil {
			return err
		}
	}
	return nil
}

// promote takes the items that a request promotes out of the query q: the best by the query that satisfy the filter of the promotion, and not the filter of the
// request, as many as its share of the places, at least one. What is left to ask is for that many fewer items, without these.
func (s *Service) promote(ctx context.Context, t *target, m *model, q *recipe.Query, promotions []api.Promotion) ([]api.PredictedItem, error) {
	if len(promotions) == 0 {
		return nil, nil
	}
	p := promotions[0] // there is at most one, by the shape
	best := *q
	best.N = promotedPlaces(q.N, *p.PercentPromotedItems)
	best.RequestSeed = 0 // the best, not what is to be explored
	list, err := s.list(ctx, t, m, best, p.FilterARN, p.FilterValues)
	if err != nil {
		return nil, err
	}
	taken := make(map[string]bool, len(list))
	for i := range list {
		taken[list[i].ItemID] = true
		list[i].PromotionName = p.Name
		if t.reasoned() {
			list[i].Reason = slices.Insert(list[i].Reason, 0, promotedItem)
		}
	}
	also := q.Exclude
	q.Exclude = func(item string) bool { return taken[item] || also != nil && also(item) }
	q.N -= len(list)
	return list, nil
}

// promotedPlaces is how many of n places a promotion of so many percent gets: rounded half up, at least one.
func promotedPlaces(n, percent int) int { return max(1, (n*percent+50)/100) }

// scatter puts promoted items at random places among the others. Both keep their order.
func scatter(promoted, others []api.PredictedItem) []api.PredictedItem {
	if len(promoted) == 0 {
		return others
	}
	list := make([]api.PredictedItem, 0, len(promoted)+len(others))
	for len(promoted)+len(others) > 0 {
		// Every set of places is as likely: each place goes to a promoted item with their share of what is left.
		if rand.IntN(len(promoted)+len(others)) < len(promoted) {
			list, promoted = append(list, promoted[0]), promoted[1:]
		} else {
			list, others = append(list, others[0]), others[1:]
		}
	}
	return list
}
