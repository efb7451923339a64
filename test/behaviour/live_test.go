package behaviour

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/palate-dev/palate/test/shop"
)

// TestTheNextAnswerKnowsAnEventWhereTheServiceSaysSo: an event that was acknowledged changes the next answer of its user for all recipes that personalize, and for no other.
func TestTheNextAnswerKnowsAnEventWhereTheServiceSaysSo(t *testing.T) {
	t.Parallel()
	h := shop.New(t, start(t), "shop", "")
	h.Interactions, h.Items = h.Dataset("Interactions", shop.InteractionsSchema), h.Dataset("Items", filmSchema)
	loyalty(t, h)
	d := shop.Generate(80, 60, 2000, 52)
	h.Imported(h.StartImport(h.Interactions, d.Interactions, "INCREMENTAL"))
	films := [][]string{filmHeader}
	for n, item := range d.Items[1:] {
		films = append(films, film(item[0], n))
	}
	h.Load(h.Items, films)
	tracking := h.Tracker()
	q := inquiry{Shop: h, t: t}
	for _, item := range d.Items[1:] {
		q.items = append(q.items, item[0])
	}
	q.listing = q.items[:20]
	for n, of := range answering {
		q.answers = of
		in := M{"name": h.Name("campaign"), "solutionVersionArn": h.Version(h.Solution(of.recipe))}
		if of.recipe == "aws-user-personalization" || of.recipe == "aws-next-best-action" {
			in["campaignConfig"] = M{"itemExplorationConfig": M{"explorationWeight": "0"}}
		}
		q.plain = h.Make("CreateCampaign", "campaign", in)
		q.user = fmt.Sprint(canary, "-live-", n)
		answer := func() string { return fmt.Sprint(q.steady(q.request(q.plain, "userId", q.user))) }
		before := answer()
		if again := answer(); again != before {
			t.Fatalf("%s: two answers differ without an event", of.recipe)
		}
		visit(h, tracking, q.user, q.user, "item-0-1", 1) // of those who take actions
		visit(h, tracking, q.user, q.user, q.items[3], 2)
		if changed := answer() != before; changed != (of.needs == "user") {
			t.Errorf("%s: an event changes the next answer: %v", of.recipe, changed)
		}
	}
}

// TestTheNextAnswerOfARecommenderKnowsAnEvent is the same for the use cases that personalize.
func TestTheNextAnswerOfARecommenderKnowsAnEvent(t *testing.T) {
	t.Parallel()
	for _, d := range domains {
		t.Run(d.name, func(t *testing.T) {
			h, events := d.open(t)
			tracking := h.Tracker()
			for _, name := range []string{"aws-ecomm-recommended-for-you", "aws-vod-top-picks"} {
				if !slices.Contains(d.trained, name) {
					continue
				}
				arn := h.Make("CreateRecommender", "recommender", M{"name": name, "datasetGroupArn": h.Group, "recipeArn": recipeARN + name,
					"recommenderConfig": M{"itemExplorationConfig": M{"explorationWeight": "0"}}})
				const user = canary + "-live"
				before := strings.Join(ask(h, arn, user), " ")
				h.Must("PutEvents", M{"trackingId": tracking, "sessionId": user, "userId": user, "eventList": []M{{"eventType": d.seen, "itemId": events[1][1], "sentAt": 2_000_000_000}}})
				if strings.Join(ask(h, arn, user), " ") == before {
					t.Errorf("%s: an event does not change the next answer", name)
				}
			}
		})
	}
}
