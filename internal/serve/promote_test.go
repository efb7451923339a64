package serve_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/recipe"
	"github.com/palate-dev/palate/internal/schema"
)

// filter makes a filter of the group.
func (w *world) filter(expression string) string {
	w.t.Helper()
	arn := arnOf(meta.Filter, w.next("f"))
	w.insert(meta.Filter, arn, w.group, api.Filter{FilterARN: arn, FilterExpression: expression}, nil)
	return arn
}

// records puts a record of each film into the Items dataset.
func (w *world) records() {
	w.t.Helper()
	for first := 0; first < 36; first += 9 {
		var items []api.Item
		for n := first; n < first+9; n++ {
			items = append(items, api.Item{ItemID: fmt.Sprintf("f%02d", n), Properties: fmt.Sprintf(`{"price": %d}`, n)})
		}
		if _, err := w.PutItems(w.ctx, &api.PutItemsRequest{DatasetARN: datasetARN(schema.Items), Items: items}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// parted returns the promoted items of a list and the others.
func parted(list []api.PredictedItem) (promoted, others []api.PredictedItem) {
	for _, p := range list {
		if p.PromotionName != "" {
			promoted = append(promoted, p)
		} else {
			others = append(others, p)
		}
	}
	return promoted, others
}

func TestPromotedItemsGetTheirShareOfThePlaces(t *testing.T) {
	w := newWorld(t)
	films := w.films()
	w.records()
	c := w.campaign(w.version(films, personalization), certain())
	whole := w.all(api.GetRecommendationsRequest{CampaignARN: c, UserID: "u01"})
	late := w.filter(`INCLUDE ItemID WHERE Items.ITEM_ID IN ($LATE)`)
	odd := []string{"f01", "f03", "f05", "f07", "f09", "f11", "f33"}
	even := w.filter(`EXCLUDE ItemID WHERE Items.ITEM_ID IN ("` + strings.Join(odd, `", "`) + `")`)
	for _, row := range []struct {
		n, percent int
		items      string
		want       int
	}{
		{10, 1, `"f30","f31","f32","f33","f34","f35"`, 1},
		{10, 24, `"f30","f31","f32","f33","f34","f35"`, 2},
		{10, 25, `"f30","f31","f32","f33","f34","f35"`, 3},
		{10, 50, `"f30","f31"`, 2}, // there are no more
		{10, 50, `"none"`, 0},
		{4, 100, `"f30","f31","f32","f33","f34","f35"`, 4},
	} {
		in := api.GetRecommendationsRequest{CampaignARN: c, UserID: "u01", NumResults: new(row.n), FilterARN: even, Promotions: []api.Promotion{
			{Name: "late", PercentPromotedItems: new(row.percent), FilterARN: late, FilterValues: map[string]string{"LATE": row.items}}}}
		out, err := w.GetRecommendations(w.ctx, &in)
		if err != nil {
			t.Fatal(err)
		}
		promoted, others := parted(out.ItemList)
		best, rest := []string{}, []string{}
		for _, id := range whole {
			if len(best) < row.want && strings.Contains(row.items, id) {
				best = append(best, id)
			} else if !slices.Contains(odd, id) && len(rest) < row.n-row.want {
				rest = append(rest, id)
			}
		}
		if diff := cmp.Diff(best, ids(promoted)); diff != "" {
			t.Errorf("%+v: promoted (-want +got)\n%s", row, diff)
		}
		if diff := cmp.Diff(rest, ids(others)); diff != "" {
			t.Errorf("%+v: the others (-want +got)\n%s", row, diff)
		}
		for _, p := range out.ItemList {
			if p.Score == nil || p.Reason != nil {
				t.Errorf("%+v: %+v", row, p)
			}
		}
	}
}

// TestPromotedItemsAreTheBestOfTheirFilter: and stand at any place, in their order.
func TestPromotedItemsAreTheBestOfTheirFilter(t *testing.T) {
	w := newWorld(t)
	films := w.films()
	w.records()
	c := w.campaign(w.version(films, personalization), certain())
	late := w.filter(`INCLUDE ItemID WHERE Items.ITEM_ID IN ("f30", "f31", "f32", "f33", "f34", "f35")`)
	var want []string
	for _, id := range w.all(api.GetRecommendationsRequest{CampaignARN: c, UserID: "u01"}) {
		if id >= "f30" && len(want) < 2 {
			want = append(want, id)
		}
	}
	places := map[int]bool{}
	for range 200 {
		out, err := w.GetRecommendations(w.ctx, &api.GetRecommendationsRequest{CampaignARN: c, UserID: "u01", NumResults: new(6),
			Promotions: []api.Promotion{{Name: "late", PercentPromotedItems: new(33), FilterARN: late}}})
		if err != nil {
			t.Fatal(err)
		}
		promoted, _ := parted(out.ItemList)
		if diff := cmp.Diff(want, ids(promoted)); diff != "" {
			t.Fatal(diff)
		}
		for i, p := range out.ItemList {
			if p.PromotionName != "" {
				places[i] = true
			}
		}
	}
	if len(places) != 6 {
		t.Errorf("promoted items stood at %v only", places)
	}
}

func TestPromotionsOfOtherRecipes(t *testing.T) {
	w := newWorld(t)
	films := w.films()
	w.records()
	first := w.filter(`INCLUDE ItemID WHERE Items.ITEM_ID IN ("f00", "f01")`)
	last := w.filter(`INCLUDE ItemID WHERE Items.ITEM_ID IN ("f35")`)
	promotion := []api.Promotion{{Name: "p", PercentPromotedItems: new(20), FilterARN: last}}

	// user-personalization-v2 says why, and an item without a name in its promotion still has a reason
	v2 := w.campaign(w.version(films, "aws-user-personalization-v2"), nil)
	out, err := w.GetRecommendations(w.ctx, &api.GetRecommendationsRequest{CampaignARN: v2, UserID: "u01", Promotions: []api.Promotion{{PercentPromotedItems: new(20), FilterARN: last}}})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, p := range out.ItemList {
		if slices.Contains(p.Reason, "Promoted item") {
			n++
			if p.ItemID != "f35" || p.PromotionName != "" {
				t.Errorf("%+v", p)
			}
		}
	}
	if n != 1 {
		t.Errorf("%d promoted items", n)
	}

	// related items and popular ones have neither scores nor reasons
	for name, in := range map[string]api.GetRecommendationsRequest{
		"aws-popularity-count": {},
		"aws-sims":             {ItemID: "f01"},
	} {
		in.CampaignARN, in.Promotions = w.campaign(w.version(films, name), nil), promotion
		out, err := w.GetRecommendations(w.ctx, &in)
		if err != nil {
			t.Fatal(err)
		}
		promoted, others := parted(out.ItemList)
		if fmt.Sprint(ids(promoted)) != "[f35]" || promoted[0].Score != nil || promoted[0].Reason != nil || slices.Contains(ids(others), "f35") {
			t.Errorf("%s: %+v", name, out.ItemList)
		}
	}

	// what a use case leaves out for the user it does not promote either
	picks := w.recommender(films, "aws-vod-top-picks", &api.RecommenderConfig{ItemExplorationConfig: map[string]string{"explorationWeight": "0"}})
	w.watch("u01", "s1", "f00", "watch", 1_700_200_000)
	out, err = w.GetRecommendations(w.ctx, &api.GetRecommendationsRequest{RecommenderARN: picks, UserID: "u01", NumResults: new(10),
		Promotions: []api.Promotion{{Name: "p", PercentPromotedItems: new(100), FilterARN: first}}})
	if err != nil {
		t.Fatal(err)
	}
	if promoted, _ := parted(out.ItemList); fmt.Sprint(ids(promoted)) != "[f01]" || len(out.ItemList) != 10 {
		t.Errorf("promoted %v of %v", ids(promoted), ids(out.ItemList))
	}
}

func TestPromotionsThatCannotBeAreRefused(t *testing.T) {
	w := newWorld(t)
	films := w.films()
	w.records()
	c := w.campaign(w.version(films, personalization), nil)
	trending := w.recommender(films, "aws-vod-trending-now", nil)
	good, users := w.filter(`INCLUDE ItemID WHERE Items.ITEM_ID IN ("f00")`), w.filter(`INCLUDE UserID WHERE Users.AGE > 1`)
	valued := w.filter(`INCLUDE ItemID WHERE Items.ITEM_ID IN ($I)`)
	current := w.filter(`INCLUDE ItemID WHERE Items.GENRES IN CurrentItem.GENRES`)
	pending := w.filter(`INCLUDE ItemID WHERE Items.ITEM_ID IN ("f01")`)
	w.status(pending, meta.DeletePending)
	popular := w.campaign(w.version(films, "aws-popularity-count"), nil)
	seen := w.filter(`EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN (*)`)
	for name, row := range map[string]struct {
		in   api.GetRecommendationsRequest
		p    api.Promotion
		want api.Code
	}{
		"no percent":                {api.GetRecommendationsRequest{CampaignARN: c, UserID: "u"}, api.Promotion{Name: "p", FilterARN: good}, api.InvalidInput},
		"no filter":                 {api.GetRecommendationsRequest{CampaignARN: c, UserID: "u"}, api.Promotion{Name: "p", PercentPromotedItems: new(1)}, api.InvalidInput},
		"unknown filter":            {api.GetRecommendationsRequest{CampaignARN: c, UserID: "u"}, api.Promotion{PercentPromotedItems: new(1), FilterARN: good + "x"}, api.ResourceNotFound},
		"deleted filter":            {api.GetRecommendationsRequest{CampaignARN: c, UserID: "u"}, api.Promotion{PercentPromotedItems: new(1), FilterARN: pending}, api.ResourceNotFound},
		"filter of users":           {api.GetRecommendationsRequest{CampaignARN: c, UserID: "u"}, api.Promotion{PercentPromotedItems: new(1), FilterARN: users}, api.InvalidInput},
		"missing value":             {api.GetRecommendationsRequest{CampaignARN: c, UserID: "u"}, api.Promotion{PercentPromotedItems: new(1), FilterARN: valued}, api.InvalidInput},
		"CurrentItem":               {api.GetRecommendationsRequest{CampaignARN: c, UserID: "u"}, api.Promotion{PercentPromotedItems: new(1), FilterARN: current}, api.InvalidInput},
		"VOD trending-now":          {api.GetRecommendationsRequest{RecommenderARN: trending}, api.Promotion{PercentPromotedItems: new(1), FilterARN: good}, api.InvalidInput},
		"user needed by its filter": {api.GetRecommendationsRequest{CampaignARN: popular}, api.Promotion{PercentPromotedItems: new(1), FilterARN: seen}, api.InvalidInput},
	} {
		row.in.Promotions = []api.Promotion{row.p}
		if _, err := w.GetRecommendations(w.ctx, &row.in); code(err) != row.want {
			t.Errorf("%s: %v, want %s", name, err, row.want)
		}
	}
	if entry, _ := recipe.Find("aws-vod-trending-now"); entry.Has(recipe.Promotions) {
		t.Error("trending-now of videos has no promotions")
	}
}
