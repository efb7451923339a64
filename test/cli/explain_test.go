package cli

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/palate-dev/palate/test/server"
	"github.com/palate-dev/palate/test/shop"
)

// explained is what palate explain --json prints, as far as these tests look at it.
type explained struct {
	Place, Of         int
	Answer            *int
	Reason, Basis     string
	Dataset, Excluded string
	Relevance, Score  *float64
	Parts             []struct {
		From, Item, Type, Column, Value string
		Live                            bool
		Adds                            float64
	}
	Filter *struct {
		Keeps bool
		Rules []struct {
			Rule, Skipped string
			Holds         bool
		}
	}
}

// explain asks a running server.
func explain(t *testing.T, h *shop.Shop, args ...string) (e explained) {
	t.Helper()
	stdout := must(t, append([]string{"explain", "--endpoint", h.URL, "--json"}, args...)...)
	if err := json.Unmarshal([]byte(stdout), &e); err != nil {
		t.Fatalf("%v: %s", err, stdout)
	}
	sum, size := 0.0, 0.0
	for _, p := range e.Parts {
		sum += p.Adds
		size += math.Abs(p.Adds)
	}
	if e.Relevance != nil && len(e.Parts) > 0 && math.Abs(sum-*e.Relevance) > 1e-6*size {
		t.Errorf("explain %v: the parts add up to %v, the relevance is %v", args, sum, *e.Relevance)
	}
	return e
}

func TestExplainTellsWhatPutsAnItemWhereItIs(t *testing.T) {
	h := shop.Open(t, server.Start(t, "--verbose"))
	d := shop.Generate(60, 40, 1500, 5)
	h.LoadAll(d)
	user := d.Users[3]
	campaign := h.Make("CreateCampaign", "campaign", server.M{"name": "c", "solutionVersionArn": h.Version(h.Solution("aws-user-personalization")),
		"campaignConfig": server.M{"itemExplorationConfig": server.M{"explorationWeight": "0"}}})
	tracking := h.Tracker()
	next := h.Recommend(campaign, user, 10)[4]
	h.Must("PutEvents", server.M{"trackingId": tracking, "userId": user, "sessionId": "s", "eventList": []server.M{{"eventType": "view", "itemId": next, "sentAt": 1_800_000_000}}})

	living := false
	for place, item := range h.Answer(campaign, user, 40) {
		if place%3 != 0 {
			continue
		}
		e := explain(t, h, "--campaign", campaign, "--user", user, "--item", item["itemId"].(string))
		if e.Place != place+1 || e.Answer == nil || *e.Answer != place+1 || e.Score == nil || *e.Score != item["score"] || e.Reason == "" {
			t.Errorf("%v at place %d is explained by %+v", item, place+1, e)
		}
		for _, p := range e.Parts {
			living = living || p.From == "event" && p.Live && p.Item == next && p.Type == "view" && p.Adds != 0
		}
	}
	if !living {
		t.Error("what the user did just now has no part in any item")
	}
	text := must(t, "explain", "--endpoint", h.URL, "--campaign", campaign, "--user", user, "--item", next)
	if !strings.Contains(text, "= relevance") || !strings.Contains(text, next+" has place") || !strings.Contains(text, "Its score is") {
		t.Errorf("for people: %s", text)
	}

	// A filter drops what its rules say, and the answers agree.
	filter := h.Make("CreateFilter", "filter", server.M{"name": "f", "datasetGroupArn": h.Group,
		"filterExpression": `EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("view") IF CurrentUser.TIER = $TIER | INCLUDE ItemID WHERE Items.GENRES IN ($GENRES)`})
	values := server.M{"TIER": `"silver"`, "GENRES": `"taste-3","taste-1"`}
	written, _ := json.Marshal(values)
	list := h.Must("GetRecommendations", server.M{"campaignArn": campaign, "userId": user, "numResults": 40, "filterArn": filter, "filterValues": values})["itemList"].([]any)
	dropped := 0
	for n, row := range d.Items[1:] {
		if n%3 > 0 { // each is a process
			continue
		}
		at := slices.IndexFunc(list, func(x any) bool { return x.(server.M)["itemId"] == row[0] })
		e := explain(t, h, "--campaign", campaign, "--user", user, "--item", row[0], "--filter", filter, "--filter-values", string(written))
		if e.Filter == nil || e.Filter.Keeps != (at >= 0) || *e.Answer != at+1 || len(e.Filter.Rules) != 2 {
			t.Errorf("%s stands at place %d and is explained by %+v", row[0], at+1, e.Filter)
			continue
		}
		if r := e.Filter.Rules[0]; !e.Filter.Keeps && r.Holds {
			dropped++
		}
	}
	if dropped == 0 {
		t.Error("no item was dropped by the events of the user")
	}
	text = must(t, "explain", "--endpoint", h.URL, "--campaign", campaign, "--user", user, "--item", next, "--filter", filter, "--filter-values", string(written))
	for _, want := range []string{"is not in the longest answer", "The filter drops it", `Interactions.EVENT_TYPE IN ("view"): yes, for it is view`, "IF CurrentUser.TIER = $TIER with silver: yes, for it is silver"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in: %s", want, text)
		}
	}

	// What is not there is said in words.
	if e := explain(t, h, "--campaign", campaign, "--user", "canary-nobody", "--item", next); !strings.Contains(e.Basis, "Nothing is known of the user") || e.Place == 0 {
		t.Errorf("a stranger: %+v", e)
	}
	if e := explain(t, h, "--campaign", campaign, "--user", user, "--item", "nothing"); e.Place != 0 || *e.Answer != 0 || !strings.Contains(e.Reason, "does not know the item") || !strings.Contains(e.Dataset, "no record") {
		t.Errorf("no item: %+v", e)
	}
	h.Must("PutItems", server.M{"datasetArn": h.Items, "items": []server.M{{"itemId": "late", "properties": `{"genres":"taste-3"}`}}})
	if e := explain(t, h, "--campaign", campaign, "--user", user, "--item", "late"); e.Place != 0 || !strings.Contains(e.Reason, "does not know the item") || e.Dataset != "" {
		t.Errorf("an item that came after the training: %+v", e)
	}
	ask := []string{"explain", "--endpoint", h.URL, "--user", user, "--item", next}
	fails(t, "does not exist", append(ask, "--campaign", campaign+"x")...)
	fails(t, "does not exist", append(ask, "--campaign", campaign, "--filter", filter+"x")...)
	fails(t, "filterValues must have a value for GENRES", append(ask, "--campaign", campaign, "--filter", filter)...)
	fails(t, "userId is required", "explain", "--endpoint", h.URL, "--campaign", campaign, "--item", next)
	fails(t, "no server answers at http://127.0.0.1:1", "explain", "--endpoint", "http://127.0.0.1:1", "--campaign", campaign, "--item", next, "--user", user)
	for _, args := range [][]string{{"explain"}, {"explain", "--campaign", "a", "--recommender", "b", "--item", "i"}, {"explain", "--campaign", "a", "--item", "i", "--context", "[]"}} {
		if _, stderr, status := palate(t, args...); status != 2 || stderr == "" {
			t.Errorf("palate %v: status %d, stderr %q", args, status, stderr)
		}
	}
	if log := h.Log(); strings.Contains(log, "canary") {
		t.Error("the id of a user stands in the log")
	}
	h.Forget(user)
	if e := explain(t, h, "--campaign", campaign, "--user", user, "--item", next); !strings.Contains(e.Basis, "Nothing is known of the user") {
		t.Errorf("a user who was deleted: %+v", e)
	}
}

func TestExplainAnswersForEveryKindOfRecipe(t *testing.T) {
	h := shop.Open(t, server.Start(t))
	d := shop.Generate(60, 40, 1500, 6)
	h.LoadAll(d)
	user, item := d.Users[3], d.Interactions[1][1]
	for _, recipe := range []string{"aws-user-personalization-v2", "aws-popularity-count", "aws-trending-now", "aws-sims", "aws-similar-items", "aws-personalized-ranking", "aws-personalized-ranking-v2"} {
		in := server.M{"name": h.Name("solution"), "datasetGroupArn": h.Group, "recipeArn": "arn:aws:personalize:::recipe/" + recipe, "performAutoTraining": false}
		campaign := h.Make("CreateCampaign", "campaign", server.M{"name": h.Name("campaign"), "solutionVersionArn": h.Version(h.Make("CreateSolution", "solution", in))})
		args := []string{"--campaign", campaign, "--user", user, "--item", item}
		request := server.M{"campaignArn": campaign, "userId": user, "numResults": 40}
		if strings.Contains(recipe, "sim") {
			args = append(args, "--related-to", d.Interactions[2][1])
			request["itemId"] = d.Interactions[2][1]
			if e := explain(t, h, "--campaign", campaign, "--item", request["itemId"].(string), "--related-to", request["itemId"].(string)); *e.Answer != 0 || !strings.Contains(e.Reason, "never in its own list") {
				t.Errorf("%s: %+v", recipe, e)
			}
		}
		e := explain(t, h, args...)
		if strings.Contains(recipe, "ranking") {
			var all []string
			for _, row := range d.Items[1:] {
				all = append(all, row[0])
			}
			ranked := h.Must("GetPersonalizedRanking", server.M{"campaignArn": campaign, "userId": user, "inputList": all})["personalizedRanking"].([]any)
			if e.Answer != nil || ranked[e.Place-1].(server.M)["itemId"] != item {
				t.Errorf("%s: %+v is not the place in %v", recipe, e, ranked)
			}
			continue
		}
		list := h.Must("GetRecommendations", request)["itemList"].([]any)
		at := slices.IndexFunc(list, func(x any) bool { return x.(server.M)["itemId"] == item })
		if e.Place != at+1 || *e.Answer != at+1 {
			t.Errorf("%s: place %d is explained by %+v", recipe, at+1, e)
		}
	}
}

func TestExplainIsSignedAsRequestsAre(t *testing.T) {
	t.Setenv("PALATE_ACCESS_KEY_ID", "AKIDREAL")
	t.Setenv("PALATE_SECRET_ACCESS_KEY", "secret")
	s := server.Start(t)
	ask := []string{"explain", "--endpoint", s.URL, "--campaign", "arn:aws:personalize:us-east-1:000000000000:campaign/none", "--item", "i"}
	fails(t, "does not exist", ask...)
	t.Setenv("PALATE_SECRET_ACCESS_KEY", "another")
	fails(t, "signature", ask...)
}
