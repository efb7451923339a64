package behaviour

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/test/shop"
)

// screens is a dataset group whose users see the even tastes on television in the morning and the odd ones on the phone at night.
func screens(t *testing.T) (*shop.Shop, shop.Data) {
	t.Helper()
	h := shop.New(t, start(t), "screens", "")
	h.Interactions = h.Dataset("Interactions", schema("Interactions", "USER_ID string", "ITEM_ID string", "TIMESTAMP long", "EVENT_TYPE string", "EVENT_VALUE float?",
		"DEVICE string? categorical", "SHELF string?", "HOUR float?", "IS_RAINY boolean?"))
	d := shop.Generate(60, 40, 1500, 5)
	d.Interactions[0] = append(d.Interactions[0], "DEVICE", "SHELF", "HOUR", "IS_RAINY")
	for n, row := range d.Interactions[1:] {
		odd := itemNumber(t, row[1]) % 2
		d.Interactions[1+n] = append(row, []string{"tv", "phone"}[odd], "top", fmt.Sprint(float64(7+12*odd)+float64(n%100)/25), []string{"true", "false"}[odd])
	}
	h.Load(h.Interactions, d.Interactions)
	return h, d
}

func itemNumber(t *testing.T, item string) int {
	t.Helper()
	n, err := strconv.Atoi(item[len("item-"):])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A request's context moves the items that are used in such a situation up, for everybody who asks that way: requests, rankings and batches.
func TestContextChangesAnswers(t *testing.T) {
	t.Parallel()
	h, d := screens(t)
	version := h.Version(h.Solution("aws-user-personalization"))
	campaign := h.Make("CreateCampaign", "campaign", M{"name": "screens", "solutionVersionArn": version, "campaignConfig": M{"itemExplorationConfig": M{"explorationWeight": "0"}}})
	askFor := func(n int, user string, context M) (items []string) {
		request := M{"campaignArn": campaign, "userId": user, "numResults": n}
		if context != nil {
			request["context"] = context
		}
		for _, x := range h.Must("GetRecommendations", request)["itemList"].([]any) {
			items = append(items, x.(M)["itemId"].(string))
		}
		return items
	}
	ask := func(user string, context M) []string { return askFor(6, user, context) }
	onPhone := func(items []string) (n int) {
		for _, item := range items {
			n += itemNumber(t, item) % 2
		}
		return n
	}
	tv, phone, plain := ask("nobody", M{"DEVICE": "tv"}), ask("nobody", M{"device": "phone"}), ask("nobody", nil)
	if onPhone(tv) != 0 || onPhone(phone) != len(phone) {
		t.Errorf("on tv: %v; on the phone: %v", tv, phone)
	}
	if morning, night := ask("nobody", M{"HOUR": "8.123"}), ask("nobody", M{"hour": "23.99"}); onPhone(morning) != 0 || onPhone(night) != len(night) {
		t.Errorf("in the morning: %v; at night: %v", morning, night)
	}
	for _, context := range []M{{"DEVICE": "radio"}, {"SHELF": "top"}, {"WEATHER": "fine"}, {"HOUR": "late"}, {"IS_RAINY": "true"}, {"TIMESTAMP": "1700000000"}, {"EVENT_VALUE": "5"}, {}} {
		if diff := cmp.Diff(plain, ask("nobody", context)); diff != "" {
			t.Errorf("context %v says nothing, but answers differ (-without +with)\n%s", context, diff)
		}
	}
	somebody := d.Users[3] // who likes what is seen on the phone, so that it takes more than the first few to tell
	if a, b := askFor(20, somebody, M{"DEVICE": "tv"}), askFor(20, somebody, M{"DEVICE": "phone"}); onPhone(a) >= onPhone(b) {
		t.Errorf("a user with a history gets %v on tv and %v on the phone", a, b)
	}

	lines := batch(h, version, M{"numResults": 6, "batchInferenceJobConfig": M{"itemExplorationConfig": M{"explorationWeight": "0"}}},
		`{"userId":"nobody","context":{"DEVICE":"tv"}}`, `{"userId":"nobody"}`)
	if diff := cmp.Diff([][]string{tv, plain}, [][]string{lines[0].Output.RecommendedItems, lines[1].Output.RecommendedItems}); diff != "" {
		t.Errorf("a batch answers otherwise (-request +batch)\n%s", diff)
	}

	ranking := h.Make("CreateCampaign", "campaign", M{"name": "ranking", "solutionVersionArn": h.Version(h.Solution("aws-personalized-ranking"))})
	first := func(device string) string {
		out := h.Must("GetPersonalizedRanking", M{"campaignArn": ranking, "userId": "nobody", "inputList": []string{tv[0], phone[0]}, "context": M{"DEVICE": device}})
		return out["personalizedRanking"].([]any)[0].(M)["itemId"].(string)
	}
	if a, b := first("tv"), first("phone"); a != tv[0] || b != phone[0] {
		t.Errorf("ranked first: %s on tv, %s on the phone", a, b)
	}

	gone := d.Users[:6]
	h.Forget(gone...)
	h.AssertNoBytesOf(gone...)
	if n := onPhone(ask("nobody", M{"DEVICE": "tv"})); n != 0 {
		t.Errorf("after an erasure, %d items of the phone on tv", n)
	}
}

// A configuration may keep a column out of the training; then a request's value for it says nothing.
func TestExcludedContextIsNotTrainedOn(t *testing.T) {
	t.Parallel()
	h, _ := screens(t)
	solution := h.Make("CreateSolution", "solution", M{"name": "blind", "datasetGroupArn": h.Group, "recipeArn": "arn:aws:personalize:::recipe/aws-user-personalization",
		"performAutoTraining": false, "solutionConfig": M{"trainingDataConfig": M{"excludedDatasetColumns": M{"INTERACTIONS": []string{"DEVICE"}}}}})
	campaign := h.Make("CreateCampaign", "campaign", M{"name": "blind", "solutionVersionArn": h.Version(solution), "campaignConfig": M{"itemExplorationConfig": M{"explorationWeight": "0"}}})
	var answers []string
	for _, device := range []string{"tv", "phone"} {
		out := h.Must("GetRecommendations", M{"campaignArn": campaign, "userId": "nobody", "numResults": 6, "context": M{"DEVICE": device}})
		answers = append(answers, fmt.Sprint(out["itemList"]))
	}
	if len(slices.Compact(answers)) != 1 {
		t.Errorf("a column that was not trained on changes the answer: %v", answers)
	}
}
