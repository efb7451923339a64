package behaviour

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/test/shop"
)

// The share of explored places and the age of what is in them are what the configuration says: of a batch job's own, a campaign's own, and by default.
func TestExplorationIsWhatTheConfigurationSays(t *testing.T) {
	t.Parallel()
	h := shop.New(t, start(t), "explored", "")
	h.Interactions = h.Dataset("Interactions", shop.InteractionsSchema)
	h.Items = h.Dataset("Items", schema("Items", "ITEM_ID string", "GENRES string? categorical", "CREATION_TIMESTAMP long"))
	d := shop.Generate(150, 60, 3000, 81)
	newest := lastTime(t, d.Interactions)
	items := [][]string{{"ITEM_ID", "GENRES", "CREATION_TIMESTAMP"}}
	for n := range 60 {
		items = append(items, []string{fmt.Sprintf("item-%04d", n), "", "1"})
	}
	for n := range 200 {
		items = append(items, []string{fmt.Sprintf("new-young-%03d", n), "", fmt.Sprint(newest - int64(n))}, []string{fmt.Sprintf("new-old-%03d", n), "", fmt.Sprint(newest - 20*86400)})
	}
	h.Load(h.Interactions, d.Interactions)
	h.Load(h.Items, items)
	version := h.Version(h.Solution("aws-user-personalization"))
	const length = 26
	var lines []string
	for _, user := range d.Users {
		lines = append(lines, fmt.Sprintf(`{"userId":%q}`, user))
	}
	answers := func(config M) map[string][][]string {
		more := M{"numResults": length}
		if config != nil {
			more["batchInferenceJobConfig"] = M{"itemExplorationConfig": config}
		}
		campaign := h.Make("CreateCampaign", "campaign", M{"name": h.Name("campaign"), "solutionVersionArn": version, "campaignConfig": M{"itemExplorationConfig": config}})
		lists := map[string][][]string{}
		for _, l := range batch(h, version, more, lines...) {
			lists["a batch job"] = append(lists["a batch job"], l.Output.RecommendedItems)
		}
		for _, user := range d.Users {
			lists["a campaign"] = append(lists["a campaign"], h.Recommend(campaign, user, length))
		}
		return lists
	}
	still := answers(M{"explorationWeight": "0"})
	if diff := cmp.Diff(still["a campaign"], still["a batch job"]); diff != "" {
		t.Errorf("without exploration a batch job answers otherwise than a campaign:\n%s", diff)
	}
	for _, c := range []struct {
		config M
		share  float64
		old    bool // whether items of twenty days are explored too
	}{
		{nil, 0.06, true},
		{M{"explorationWeight": "1"}, 0.2, true},
		{M{"exploration_weight": "1", "exploration_item_age_cut_off": "7"}, 0.2, false},
		{M{"explorationItemAgeCutOff": "7"}, 0.06, false},
	} {
		for what, lists := range answers(c.config) {
			places, explored, old := 0, 0, 0
			for n, list := range lists {
				places += len(list) - 1
				for _, item := range list {
					if slices.Contains(still[what][n], item) {
						continue
					}
					explored++
					if strings.HasPrefix(item, "new-old") {
						old++
					}
				}
			}
			want := c.share * float64(places)
			slack := 5 * math.Sqrt(want)
			if got := float64(explored); got < want-slack || got > want+slack {
				t.Errorf("%s with %v: %v of %d places are explored, not about %.0f", what, c.config, got, places, want)
			}
			if (old > 0) != c.old {
				t.Errorf("%s with %v: %d places have items of twenty days", what, c.config, old)
			}
		}
	}
}
