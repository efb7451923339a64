package serve_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/schema"
)

// TestFiltersFollowTheItems: what PutItems has answered counts in the next request, before there is a view of the catalogue, beside it, and after another field has been
// asked for.
func TestFiltersFollowTheItems(t *testing.T) {
	w := newWorld(t)
	films := w.films()
	c := w.campaign(w.version(films, personalization), certain())
	whole := w.all(api.GetRecommendationsRequest{CampaignARN: c, UserID: "u01"})
	genres := w.filter(`INCLUDE ItemID WHERE Items.GENRES IN ($G) | EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("seen")`)
	prices := w.filter(`EXCLUDE ItemID WHERE Items.PRICE >= $P OR Items.GENRES IN ("b") AND Items.CREATION_TIMESTAMP NOT IN (7)`)
	type film struct {
		known  bool
		genres string
		price  int
	}
	items := map[string]film{}
	random := rand.New(rand.NewPCG(1, 9))
	seen := map[string]bool{}
	for round := range 120 {
		id := fmt.Sprintf("f%02d", random.IntN(36))
		items[id] = film{true, []string{"a", "b", "a|b"}[random.IntN(3)], random.IntN(4)}
		if _, err := w.PutItems(w.ctx, &api.PutItemsRequest{DatasetARN: datasetARN(schema.Items), Items: []api.Item{
			{ItemID: id, Properties: fmt.Sprintf(`{"genres": %q, "price": %d}`, items[id].genres, items[id].price)}}}); err != nil {
			t.Fatal(err)
		}
		if round%20 == 5 {
			seen[id] = true
			w.watch("u01", "s1", id, "Seen", int64(1_600_000_000+round)) // older than all: no order changes
			whole = w.all(api.GetRecommendationsRequest{CampaignARN: c, UserID: "u01"})
		}
		asked, keeps := genres, func(id string) bool { return items[id].genres != "" && items[id].genres != "b" && !seen[id] }
		if round > 40 && round%2 == 0 {
			asked, keeps = prices, func(id string) bool {
				f := items[id]
				return !(f.known && f.price >= 2) && !(f.known && f.genres != "a")
			}
		}
		var want []string
		for _, id := range whole {
			if keeps(id) {
				want = append(want, id)
			}
		}
		got := w.all(api.GetRecommendationsRequest{CampaignARN: c, UserID: "u01", FilterARN: asked, FilterValues: map[string]string{"G": `"a"`, "P": "2"}})
		if diff := cmp.Diff(want, got, cmp.Transformer("", func(l []string) string { return fmt.Sprint(l) })); diff != "" {
			t.Fatalf("round %d, %s: (-want +got)\n%s", round, asked, diff)
		}
		if round%10 == 0 {
			w.WaitForViews()
		}
	}
	// A field that is not in the view after one that is, and a filter that is gone.
	w.status(prices, meta.DeletePending)
	if _, err := w.GetRecommendations(w.ctx, &api.GetRecommendationsRequest{CampaignARN: c, UserID: "u01", FilterARN: prices}); code(err) != api.ResourceNotFound {
		t.Errorf("a deleted filter: %v", err)
	}
}

// TestFiltersLookAtTheNewestOfEachType: a hundred, and what else the user did does not count against them.
func TestFiltersLookAtTheNewestOfEachType(t *testing.T) {
	w := newWorld(t)
	c := w.campaign(w.version(w.films(), personalization), certain())
	put := func(kind, item string, from, n int) {
		for first := from; first < from+n; first += 10 { // as many as a call takes
			var events []api.Event
			for k := first; k < min(first+10, from+n); k++ {
				events = append(events, api.Event{EventType: kind, ItemID: item, SentAt: seconds(int64(1_700_300_000 + k))})
			}
			if _, err := w.PutEvents(w.ctx, &api.PutEventsRequest{TrackingID: trackingID, UserID: "u01", SessionID: "s1", EventList: events}); err != nil {
				t.Fatal(err)
			}
		}
	}
	seen := w.filter(`EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("seen")`)
	listed := func(item string) bool {
		return slices.Contains(w.all(api.GetRecommendationsRequest{CampaignARN: c, UserID: "u01", FilterARN: seen}), item)
	}
	put("Seen", "f00", 0, 1)
	put("Click", "f02", 100, 150)
	put("seen", "f01", 300, 99)
	if listed("f00") || listed("f01") || !listed("f02") {
		t.Error("the newest hundred are not all looked at, or others are")
	}
	put("Seen", "f01", 500, 1)
	if !listed("f00") || listed("f01") {
		t.Error("an event that a hundred newer ones of its type hide is looked at")
	}
}
