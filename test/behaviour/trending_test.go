package behaviour

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/test/shop"
)

// lastTime is the time of the last event of generated interactions.
func lastTime(t *testing.T, rows [][]string) int64 {
	t.Helper()
	at, err := strconv.ParseInt(rows[len(rows)-1][2], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// leads waits until an item is the first that a target, which may need no user, recommends.
func leads(h *shop.Shop, target M, item string) {
	h.T.Helper()
	var first string
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); <-time.After(50 * time.Millisecond) {
		list := h.Must("GetRecommendations", target)["itemList"].([]any)
		if first = list[0].(M)["itemId"].(string); first == item {
			return
		}
	}
	h.T.Fatalf("%s does not come to lead the trends; %s does", item, first)
}

// TestTrendsFollowNewDataWithoutTraining streams a run on an item that nobody had seen, imports one on another, and deletes the users of the first.
func TestTrendsFollowNewDataWithoutTraining(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t, "--trend-refresh", "200ms"))
	data := shop.Generate(60, 40, 1800, 22)
	h.LoadAll(data)
	solution := h.Make("CreateSolution", "solution", M{"name": "trends", "datasetGroupArn": h.Group, "recipeArn": recipeARN + "aws-trending-now",
		"performAutoTraining": false, "solutionConfig": M{"featureTransformationParameters": M{"trend_discovery_frequency": "1h"}}})
	version := h.Version(solution)
	metrics := h.Must("GetSolutionMetrics", M{"solutionVersionArn": version})["metrics"].(M)
	if len(metrics) != 2 || metrics["coverage"] == nil || metrics["trend_prediction_accuracy"] == nil {
		t.Errorf("metrics are %v", metrics)
	}
	campaign := h.Make("CreateCampaign", "campaign", M{"name": "trends", "solutionVersionArn": version})
	question := M{"campaignArn": campaign, "numResults": 5}
	list := h.Must("GetRecommendations", question)["itemList"].([]any)
	if len(list) != 5 {
		t.Fatalf("trends are %v", list)
	}
	if _, scored := list[0].(M)["score"]; scored {
		t.Errorf("a trend has a score: %v", list[0])
	}

	tracking, at := h.Tracker(), lastTime(t, data.Interactions)
	run := func(item string, users int, at int64) (fans []string) {
		for n := range users {
			fans = append(fans, fmt.Sprintf("%s-fan-of-%s-%03d", canary, item, n))
			h.Must("PutEvents", M{"trackingId": tracking, "userId": fans[n], "sessionId": fans[n], "eventList": []M{{"eventType": "view", "itemId": item, "sentAt": at + int64(n)}}})
		}
		return fans
	}
	fans := run("newcomer", 80, at+60)
	leads(h, question, "newcomer")

	later := [][]string{data.Interactions[0]}
	for n := range 1000 {
		later = append(later, []string{data.Users[n%len(data.Users)], "item-0039", fmt.Sprint(at + 600 + int64(n%400)), "view", ""})
	}
	h.Imported(h.StartImport(h.Interactions, later, "INCREMENTAL"))
	leads(h, question, "item-0039")

	if n := len(h.Must("ListSolutionVersions", M{"solutionArn": solution})["solutionVersions"].([]any)); n != 1 {
		t.Errorf("trends made %d versions", n)
	}
	if diff := cmp.Diff(metrics, h.Must("GetSolutionMetrics", M{"solutionVersionArn": version})["metrics"]); diff != "" {
		t.Errorf("metrics changed with the trends:\n%s", diff)
	}

	h.Forget(fans...)
	for _, item := range h.Must("GetRecommendations", M{"campaignArn": campaign, "numResults": 50})["itemList"].([]any) {
		if item.(M)["itemId"] == "newcomer" {
			t.Error("what only deleted users knew is still a trend")
		}
	}
	h.AssertNoBytesOf(fans...)
	if n := len(h.ModelDirs()); n != 1 {
		t.Errorf("%d model directories are left of one version", n)
	}
	run("second", 300, at+5000) // in the next interval
	leads(h, question, "second")
	h.AssertNoBytesOf(fans...)
}

// TestTheTrendsOfARecommender: VOD trending-now needs no user, follows new data, and can be stopped and deleted whatever it is about.
func TestTheTrendsOfARecommender(t *testing.T) {
	t.Parallel()
	h, events := domains[1].open(t, "--trend-refresh", "200ms")
	arn := h.Make("CreateRecommender", "recommender", M{"name": "trends", "datasetGroupArn": h.Group, "recipeArn": recipeARN + "aws-vod-trending-now"})
	described, err := h.Describe("recommender", arn)
	if err != nil {
		t.Fatal(err)
	}
	if m, _ := described["modelMetrics"].(M); m["trend_prediction_accuracy"] == nil || m["coverage"] == nil {
		t.Errorf("modelMetrics are %v", described["modelMetrics"])
	}
	question := M{"recommenderArn": arn, "numResults": 3}
	h.Must("GetRecommendations", question)
	tracking, at := h.Tracker(), lastTime(t, events)
	for n := range 300 {
		user := fmt.Sprintf("%s-viewer-%03d", canary, n)
		h.Must("PutEvents", M{"trackingId": tracking, "userId": user, "sessionId": user, "eventList": []M{{"eventType": "Watch", "itemId": "item-0038", "sentAt": at + int64(n)}}})
	}
	leads(h, question, "item-0038")
	self := M{"recommenderArn": arn}
	h.Must("UpdateRecommender", M{"recommenderArn": arn, "recommenderConfig": M{"minRecommendationRequestsPerSecond": 2}})
	settled(h, "recommender", arn, "latestRecommenderUpdate")
	h.Must("StopRecommender", self)
	h.WatchFor("recommender", arn, "INACTIVE")
	h.Must("DeleteRecommender", self)
	h.WatchGone("recommender", arn)
}

// TestWhatWasPurchasedIsNotAlsoViewed: customers-who-viewed-x-also-viewed learns from views alone, and leaves out what the user purchased before and since.
func TestWhatWasPurchasedIsNotAlsoViewed(t *testing.T) {
	t.Parallel()
	h := shop.New(t, start(t), "domain", "ECOMMERCE")
	h.Interactions = h.Dataset("Interactions", domains[0].interactions)
	rows := [][]string{{"USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE"}}
	for u := range 50 { // everybody views the same six items, some of which one bought
		for i := range 6 {
			rows = append(rows, []string{fmt.Sprintf("%s-%02d", canary, u), fmt.Sprintf("item-%d", i), fmt.Sprint(1_700_000_000 + 10*u + i), "View"})
		}
	}
	buyer := canary + "-buyer" // has no view at all
	for n := range 120 {
		rows = append(rows, []string{buyer, fmt.Sprintf("bought-%03d", n), fmt.Sprint(1_700_000_100 + n), "Purchase"})
	}
	rows = append(rows, []string{buyer, "item-1", "1700000050", "purchase"}, []string{buyer, "item-2", "1700009000", "PURCHASE"})
	h.Load(h.Interactions, rows)
	name := "aws-ecomm-customers-who-viewed-x-also-viewed"
	arn := h.Make("CreateRecommender", "recommender", M{"name": name, "datasetGroupArn": h.Group, "recipeArn": recipeARN + name})
	ask := func(user string) (items []string) {
		for _, item := range h.Must("GetRecommendations", M{"recommenderArn": arn, "userId": user, "itemId": "item-0"})["itemList"].([]any) {
			items = append(items, item.(M)["itemId"].(string))
		}
		slices.Sort(items)
		return items
	}
	if diff := cmp.Diff([]string{"item-1", "item-2", "item-3", "item-4", "item-5"}, ask(canary+"-stranger")); diff != "" {
		t.Errorf("a stranger is shown (-want +got):\n%s", diff)
	}
	// item-1 was purchased before the hundred newest purchases, item-2 is the newest.
	if diff := cmp.Diff([]string{"item-1", "item-3", "item-4", "item-5"}, ask(buyer)); diff != "" {
		t.Errorf("a buyer is shown (-want +got):\n%s", diff)
	}
	h.Must("PutEvents", M{"trackingId": h.Tracker(), "userId": buyer, "sessionId": "s", "eventList": []M{
		{"eventType": "Purchase", "itemId": "item-3", "sentAt": 1_700_010_000}, {"eventType": "View", "itemId": "item-4", "sentAt": 1_700_010_001}}})
	if diff := cmp.Diff([]string{"item-1", "item-4", "item-5"}, ask(buyer)); diff != "" {
		t.Errorf("after one more purchase a buyer is shown (-want +got):\n%s", diff)
	}
	h.Forget(buyer)
	if diff := cmp.Diff([]string{"item-1", "item-2", "item-3", "item-4", "item-5"}, ask(buyer)); diff != "" {
		t.Errorf("a forgotten buyer is shown (-want +got):\n%s", diff)
	}
	h.AssertNoBytesOf(buyer)
}
