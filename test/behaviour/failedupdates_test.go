package behaviour

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/palate-dev/palate/test/shop"
)

// failedUpdate waits until the last update of a resource has failed, and returns the resource and why.
func failedUpdate(h *shop.Shop, noun, arn, summary string) (d M, reason string) {
	h.T.Helper()
	for {
		d, err := h.Describe(noun, arn)
		if err != nil {
			h.T.Fatal(err)
		}
		switch update := d[summary].(M); update["status"] {
		case "ACTIVE":
			h.T.Fatalf("%s has not failed: %v", summary, update)
		case "CREATE FAILED":
			reason, _ := update["failureReason"].(string)
			if update["lastUpdatedDateTime"].(float64) <= update["creationDateTime"].(float64) {
				h.T.Errorf("%s does not say when it failed: %v", summary, update)
			}
			if d["status"] != "ACTIVE" || d["failureReason"] != nil {
				h.T.Errorf("a failed update leaves %v", d)
			}
			return d, reason
		}
	}
}

// TestAnUpdateThatFailsLeavesWhatServes: of a recommender whose data are gone, and of a campaign whose next model cannot be read. Both take another update.
func TestAnUpdateThatFailsLeavesWhatServes(t *testing.T) {
	t.Parallel()
	h, events := domains[0].open(t, "--hold", "50ms")
	arn := h.Make("CreateRecommender", "recommender", M{"name": "r", "datasetGroupArn": h.Group, "recipeArn": recipeARN + "aws-ecomm-popular-items-by-purchases",
		"recommenderConfig": M{"minRecommendationRequestsPerSecond": 2}})
	user := events[1][0]
	before := ask(h, arn, user)
	h.Load(h.Interactions, kinds(events, "Other"))
	columns := M{"minRecommendationRequestsPerSecond": 3.0, "trainingDataConfig": M{"excludedDatasetColumns": M{"ITEMS": []string{"PRICE"}}}}
	h.Must("UpdateRecommender", M{"recommenderArn": arn, "recommenderConfig": columns})
	d, reason := failedUpdate(h, "recommender", arn, "latestRecommenderUpdate")
	if reason != "Dataset has fewer than 1 interactions after filtering by event type: Purchase" || d["recommenderConfig"].(M)["minRecommendationRequestsPerSecond"] != 2.0 {
		t.Errorf("without purchases: %q, %v", reason, d)
	}
	if after := ask(h, arn, user); !slices.Equal(before, after) {
		t.Errorf("after an update that failed the recommender answers %v, not %v", after, before)
	}
	h.Must("UpdateRecommender", M{"recommenderArn": arn, "recommenderConfig": M{"minRecommendationRequestsPerSecond": 4.0}})
	if d := settled(h, "recommender", arn, "latestRecommenderUpdate"); d["recommenderConfig"].(M)["minRecommendationRequestsPerSecond"] != 4.0 || d["latestRecommenderUpdate"].(M)["failureReason"] != nil {
		t.Errorf("the next update leaves %v", d)
	}

	solution := h.Solution("aws-popularity-count")
	good := h.Version(solution)
	known := h.ModelDirs()
	broken := h.Version(solution)
	damage(h, known)
	campaign := h.Make("CreateCampaign", "campaign", M{"name": "c", "solutionVersionArn": good})
	answer := h.Recommend(campaign, user, 5)
	h.Must("UpdateCampaign", M{"campaignArn": campaign, "solutionVersionArn": broken, "minProvisionedTPS": 9})
	d, reason = failedUpdate(h, "campaign", campaign, "latestCampaignUpdate")
	if reason == "" || d["solutionVersionArn"] != good || d["minProvisionedTPS"] != 1.0 || !slices.Equal(answer, h.Recommend(campaign, user, 5)) {
		t.Errorf("a model that cannot be read: %q, %v", reason, d)
	}
	failed := h.Must("CreateCampaign", M{"name": "never", "solutionVersionArn": broken})["campaignArn"].(string)
	if why := failure(h, "campaign", failed); why != reason {
		t.Errorf("a campaign with that model fails for another reason: %q, not %q", why, reason)
	}
	h.Must("UpdateCampaign", M{"campaignArn": failed, "solutionVersionArn": good})
	if d := settled(h, "campaign", failed, "latestCampaignUpdate"); d["status"] != "ACTIVE" || d["failureReason"] != nil || !slices.Equal(answer, h.Recommend(failed, user, 5)) {
		t.Errorf("an update of a failed campaign leaves %v", d)
	}
}

// damage shortens an array of the one model that is not among the known ones.
func damage(h *shop.Shop, known []string) {
	h.T.Helper()
	for _, dir := range h.ModelDirs() {
		if slices.Contains(known, dir) {
			continue
		}
		arrays, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			h.T.Fatal(err)
		}
		for _, name := range arrays {
			if info, err := os.Stat(name); err == nil && info.Size() > 0 && !strings.HasSuffix(name, "manifest.json") {
				if err := os.Truncate(name, info.Size()-1); err != nil {
					h.T.Fatal(err)
				}
				return
			}
		}
	}
	h.T.Fatal("there is no new model to damage")
}
