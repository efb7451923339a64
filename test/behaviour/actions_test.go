package behaviour

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palate-dev/palate/test/shop"
)

// loyalty fills a group with users of three tastes, who take the action of theirs, and with actions that never expire and are worth more or less.
func loyalty(t *testing.T, h *shop.Shop) (users []string) {
	t.Helper()
	actions := h.Dataset("Actions", schema("Actions", "ACTION_ID string", "VALUE long?", "EXPIRATION_TIMESTAMP long?", "REPEAT_FREQUENCY long?"))
	h.Load(actions, [][]string{{"ACTION_ID", "VALUE", "EXPIRATION_TIMESTAMP", "REPEAT_FREQUENCY"},
		{"action-0", "1", "", ""}, {"action-1", "1", "", ""}, {"action-2", "1", "", "30"}, {"new-low", "2", "", ""}, {"new-high", "9", "", ""}, {"expired", "10", "1000", ""}})
	acted := h.Dataset("Action_Interactions", schema("ActionInteractions", "USER_ID string", "ACTION_ID string", "EVENT_TYPE string", "TIMESTAMP long"))
	views, answers := [][]string{{"USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE", "EVENT_VALUE"}}, [][]string{{"USER_ID", "ACTION_ID", "EVENT_TYPE", "TIMESTAMP"}}
	for u := range 180 {
		user := fmt.Sprintf("%s-member-%03d", canary, u)
		users = append(users, user)
		for k := range 6 {
			views = append(views, []string{user, fmt.Sprintf("item-%d-%d", u%3, (u+k)%5), fmt.Sprint(1_700_000_000 + k), "view", ""})
		}
		for a := range 3 {
			said := "NOT_TAKEN"
			if a == u%3 {
				said = "Taken"
			}
			answers = append(answers, []string{user, fmt.Sprintf("action-%d", a), said, fmt.Sprint(1_700_100_000 + 100*u + a)})
		}
	}
	h.Load(h.Interactions, views)
	h.Load(acted, answers)
	return users
}

// actionTracking is the tracking ID of the group's Action_Interactions dataset.
func actionTracking(h *shop.Shop) string {
	h.T.Helper()
	d, err := h.Describe("dataset", strings.Replace(h.Interactions, "/INTERACTIONS", "/ACTION_INTERACTIONS", 1))
	if err != nil {
		h.T.Fatal(err)
	}
	return d["trackingId"].(string)
}

// TestActionsAreRecommendedByPropensity drives next-best-action from data to deletion.
func TestActionsAreRecommendedByPropensity(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t))
	users := loyalty(t, h)
	version := h.Version(h.Solution("aws-next-best-action"))
	metrics := h.Must("GetSolutionMetrics", M{"solutionVersionArn": version})["metrics"].(M)
	for _, name := range []string{"coverage", "normalized_discounted_cumulative_gain_at_5", "normalized_discounted_cumulative_gain_at_10",
		"normalized_discounted_cumulative_gain_at_25", "precision", "recall", "area_under_curve"} {
		if v, ok := metrics[name].(float64); !ok || v < 0 || v > 1 {
			t.Errorf("%s is %v", name, metrics[name])
		}
	}
	if len(metrics) != 7 {
		t.Errorf("metrics are %v", metrics)
	}
	campaign := h.Make("CreateCampaign", "campaign", M{"name": "actions", "solutionVersionArn": version,
		"campaignConfig": M{"itemExplorationConfig": M{"explorationWeight": "0"}}})
	actions := func(user string) (ids []string, score map[string]float64) {
		t.Helper()
		score = map[string]float64{}
		out := h.Must("GetActionRecommendations", M{"campaignArn": campaign, "userId": user, "numResults": 100})
		last := 1.0
		for _, x := range out["actionList"].([]any) {
			a := x.(M)
			id, p := a["actionId"].(string), a["score"].(float64) // present also if it is 0
			if p > last || p < 0 {
				t.Errorf("scores are not in order: %v", out)
			}
			ids, score[id], last = append(ids, id), p, p
		}
		if slices.Contains(ids, "expired") {
			t.Error("an expired action is recommended")
		}
		if id, _ := out["recommendationId"].(string); !strings.HasPrefix(id, "RID-") {
			t.Errorf("recommendationId %q", id)
		}
		return ids, score
	}
	ids, score := actions(users[0])
	if len(ids) != 5 || ids[0] != "action-0" || score["action-0"] < 0.5 || score["new-high"] != 0 || !slices.Equal(ids[3:], []string{"new-high", "new-low"}) {
		t.Errorf("a user of taste 0 gets %v with %v", ids, score)
	}

	// Events count at the next request: those with items and those with actions, which an action that repeats seldom then waits for.
	tracking := h.Tracker()
	newcomer := canary + "-newcomer"
	before, _ := actions(newcomer)
	if len(before) != 5 {
		t.Errorf("a newcomer gets %v", before)
	}
	h.Must("PutEvents", M{"trackingId": tracking, "userId": newcomer, "sessionId": "s", "eventList": []M{
		{"eventType": "view", "itemId": "item-2-1", "sentAt": 1_700_200_000}, {"eventType": "view", "itemId": "item-2-2", "sentAt": 1_700_200_001}}})
	if ids, score := actions(newcomer); ids[0] != "action-2" || score["action-2"] < 0.5 {
		t.Errorf("after views of taste 2 there come %v with %v", ids, score)
	}
	act := func(user, action, said string, at int64) {
		t.Helper()
		h.Must("PutActionInteractions", M{"trackingId": actionTracking(h), "actionInteractions": []M{
			{"userId": user, "sessionId": "s", "actionId": action, "eventType": said, "timestamp": at}}})
	}
	now := time.Now().Unix()
	act(newcomer, "action-2", "Taken", now-60)
	if ids, _ := actions(newcomer); slices.Contains(ids, "action-2") {
		t.Errorf("an action that repeats after 30 days is recommended again at once: %v", ids)
	}
	const day = 24 * 60 * 60
	for days, open := range map[int64]bool{31: true, 29: false} {
		user := fmt.Sprint(canary, "-visitor-", days) // who has not signed in: a session
		h.Must("PutActionInteractions", M{"trackingId": actionTracking(h), "actionInteractions": []M{{"sessionId": user, "actionId": "action-2", "eventType": "Viewed", "timestamp": now - days*day}}})
		if ids, _ := actions(user); slices.Contains(ids, "action-2") != open {
			t.Errorf("%d days after it was viewed an action that repeats after 30 is among %v: want %v", days, ids, open)
		}
	}
	_, was := actions(users[1])
	for k := range int64(5) {
		act(users[1], "action-1", "Not taken", now-300+k)
	}
	if _, is := actions(users[1]); is["action-1"] >= was["action-1"] {
		t.Errorf("after five refusals the propensity is %v, was %v", is["action-1"], was["action-1"])
	}

	// Filters select actions by their records and by what the user did with them, imported or a second ago.
	filtered := func(user, expression string, values M) (ids []string) {
		t.Helper()
		out := h.Must("GetActionRecommendations", M{"campaignArn": campaign, "userId": user, "numResults": 100, "filterArn": filterOf(h, expression), "filterValues": values})
		for _, x := range out["actionList"].([]any) {
			ids = append(ids, x.(M)["actionId"].(string))
		}
		slices.Sort(ids)
		return ids
	}
	if got := filtered(users[0], `INCLUDE ActionID WHERE Actions.VALUE > ($V)`, M{"V": "1"}); !slices.Equal(got, []string{"new-high", "new-low"}) {
		t.Errorf("actions of a value above 1 are %v", got)
	}
	if got := filtered(users[0], `EXCLUDE ActionID WHERE Action_Interactions.EVENT_TYPE IN ("not taken")`, nil); !slices.Equal(got, []string{"action-0", "new-high", "new-low"}) {
		t.Errorf("actions that the user did not refuse are %v", got)
	}
	act(users[0], "new-low", "Viewed", now-50)
	if got := filtered(users[0], `EXCLUDE ActionID WHERE Action_Interactions.EVENT_TYPE IN (*)`, nil); !slices.Equal(got, []string{"new-high"}) {
		t.Errorf("actions that the user never met are %v", got)
	}
	h.Refused("InvalidInputException", "GetActionRecommendations", M{"campaignArn": campaign, "userId": users[0], "filterArn": filterOf(h, `EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN (*)`)})

	// Actions are those of the dataset as it is now.
	h.Must("PutActions", M{"datasetArn": strings.Replace(h.Interactions, "/INTERACTIONS", "/ACTIONS", 1), "actions": []M{
		{"actionId": "newest", "properties": `{"value": 10}`}, {"actionId": "new-low", "properties": `{"expirationTimestamp": 1000}`}}})
	ids, score = actions(users[0])
	if at := slices.Index(ids, "newest"); at < 0 || score["newest"] != 0 || at > slices.Index(ids, "new-high") || slices.Contains(ids, "new-low") {
		t.Errorf("after PutActions: %v", ids)
	}
	if len(h.Must("GetActionRecommendations", M{"campaignArn": campaign, "userId": users[0]})["actionList"].([]any)) != 5 {
		t.Error("numResults is not 5 by default")
	}
	h.Refused("InvalidInputException", "GetRecommendations", M{"campaignArn": campaign, "userId": users[0]})
	h.Refused("InvalidInputException", "GetActionRecommendations", M{"campaignArn": campaign})
	h.Refused("InvalidInputException", "GetActionRecommendations", M{"campaignArn": campaign, "userId": users[0], "numResults": 101})

	// A deleted user is a stranger, to whom the repeating action is open again.
	h.Forget(users[0], users[1], newcomer)
	stranger, strange := actions(canary + "-stranger")
	for _, user := range []string{users[0], newcomer} {
		if ids, score := actions(user); !slices.Equal(ids, stranger) || fmt.Sprint(score) != fmt.Sprint(strange) {
			t.Errorf("a deleted user gets %v, a stranger %v", score, strange)
		}
	}
	h.AssertNoBytesOf(users[0], users[1], newcomer)
}

// TestWithoutActionInteractionsAllScoresAreZero: such a group trains, and answers in order of VALUE.
func TestWithoutActionInteractionsAllScoresAreZero(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t))
	data := shop.Generate(40, 20, 1200, 23)
	h.LoadAll(data)
	if m := h.Refused("InvalidInputException", "CreateSolution", M{"name": "early", "datasetGroupArn": h.Group, "recipeArn": recipeARN + "aws-next-best-action"}); !strings.Contains(m, "ACTIONS") {
		t.Errorf("without actions: %q", m)
	}
	h.Load(h.Dataset("Actions", schema("Actions", "ACTION_ID string", "VALUE long?")), [][]string{{"ACTION_ID", "VALUE"}, {"c", "3"}, {"a", "3"}, {"b", "7"}, {"d", ""}})
	campaign := h.Make("CreateCampaign", "campaign", M{"name": "actions", "solutionVersionArn": h.Version(h.Solution("aws-next-best-action"))})
	var got []string
	for _, x := range h.Must("GetActionRecommendations", M{"campaignArn": campaign, "userId": data.Users[0]})["actionList"].([]any) {
		got = append(got, fmt.Sprint(x.(M)["actionId"], x.(M)["score"]))
	}
	if want := []string{"b0", "a0", "c0", "d0"}; !slices.Equal(got, want) {
		t.Errorf("actions are %v, want %v", got, want)
	}
}
