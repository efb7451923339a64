package recipe

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/schema"
)

// Over many users the explored places are the share of all that the configuration says, they hold items that are young enough, and each answer follows from its seed.
func TestTheExploredShareIsThatOfTheConfiguration(t *testing.T) {
	const users, length, perDay, days = 600, 26, 25, 40
	events := walks(12, users, 60, 8)
	newest := int64(0)
	for _, e := range events {
		newest = max(newest, e.time)
	}
	catalog := NewAttributesBuilder(parse(t, "Items", "ITEM_ID:string", "KIND:string?/categorical", "CREATION_TIMESTAMP:long?"), every)
	for k := range 60 {
		catalog.Add([]schema.Value{str(fmt.Sprintf("item-%04d", k)), none(), whole(1)})
	}
	for k := range perDay * days {
		catalog.Add([]schema.Value{str(fmt.Sprintf("new-%04d", k)), none(), whole(newest - int64(k)*daySeconds/perDay)})
	}
	ev := makeEvents(events)
	models := map[string]*Model{}
	for _, recipe := range []string{personalizationV1, personalizationV2} {
		models[recipe] = open(t, trainData(t, Data{Events: ev, Items: catalog.Attributes()}, Config{Recipe: recipe}))
	}
	for _, c := range []struct {
		recipe         string
		weight, cutOff float64
		rounds         uint64  // answers for each user
		share          float64 // of the places but the first
		most           int     // items that are young enough
	}{
		{personalizationV1, 0, 30, 1, 0, 0},
		{personalizationV1, 0.1, 30, 2, 0.02, 30*perDay + 1},
		{personalizationV1, 0.3, 30, 1, 0.06, 30*perDay + 1},
		{personalizationV1, 1, 30, 1, 0.2, 30*perDay + 1},
		{personalizationV1, 1, 1, 1, 0.2, perDay + 1},
		{personalizationV1, 0.3, 1, 1, 0.06, perDay + 1},
		{personalizationV1, 0.3, 100, 1, 0.06, days * perDay},
		{personalizationV2, 0, 0, 10, 0.001, 30*perDay + 1},
		{personalizationV2, 1, 1, 10, 0.001, 30*perDay + 1}, // has no configuration
	} {
		places, explored, who, what := 0, 0, map[string]bool{}, map[string]bool{}
		for _, user := range ev.Users {
			for round := range c.rounds {
				q := Query{User: user, Known: true, N: length, ExplorationWeight: c.weight, CutOff: c.cutOff, RequestSeed: draw(round, user) | 1}
				list := models[c.recipe].Recommend(q, nil)
				if diff := cmp.Diff(list, models[c.recipe].Recommend(q, nil)); diff != "" {
					t.Fatalf("one seed, two answers: %s", diff)
				}
				for place, s := range list {
					if place > 0 {
						places++
					}
					if s.Reason != "Exploration" {
						continue
					}
					explored++
					who[user], what[s.Item] = true, true
					if !strings.HasPrefix(s.Item, "new-") || place == 0 {
						t.Fatalf("place %d: %+v", place, s)
					}
					if k, err := strconv.Atoi(s.Item[4:]); err != nil || k >= c.most {
						t.Fatalf("cut-off %v: %s is explored", c.cutOff, s.Item)
					}
				}
			}
		}
		// Five standard deviations, and somewhat less where few items are there to be drawn, because no item is in a list twice.
		want := c.share * float64(places)
		slack := 5 * math.Sqrt(want*(1-c.share))
		least := want - slack
		if c.most <= perDay+1 {
			least -= 0.15 * want
		}
		if float64(explored) < least || float64(explored) > want+slack {
			t.Errorf("%s, weight %v, cut-off %v: %d of %d places are explored, not about %.0f", c.recipe, c.weight, c.cutOff, explored, places, want)
		}
		if c.share > 0.01 && (len(who) < users/4 || len(what) < min(c.most, explored)/3) {
			t.Errorf("%s, weight %v, cut-off %v: %d users explore %d items", c.recipe, c.weight, c.cutOff, len(who), len(what))
		}
	}
}
