package behaviour

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/palate-dev/palate/test/shop"
)

// TestMetadataFollowsTheItemsOfTheMoment asks for columns from before they are allowed to after they are new.
func TestMetadataFollowsTheItemsOfTheMoment(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t))
	d := shop.Generate(60, 30, 1200, 51)
	h.LoadAll(d)
	version := h.Version(h.Solution("aws-user-personalization"))
	explore := M{"explorationWeight": "0"}
	campaign := h.Make("CreateCampaign", "campaign", M{"name": "c", "solutionVersionArn": version, "campaignConfig": M{"itemExplorationConfig": explore}})
	ask := func(columns ...string) M {
		return M{"campaignArn": campaign, "userId": d.Users[0], "numResults": 1, "metadataColumns": M{"ITEMS": columns}}
	}
	shows := func(columns ...string) M {
		t.Helper()
		metadata, _ := h.Must("GetRecommendations", ask(columns...))["itemList"].([]any)[0].(M)["metadata"].(M)
		return metadata
	}
	if m := h.Refused("InvalidInputException", "GetRecommendations", ask("TITLE")); !strings.Contains(m, "not enabled") {
		t.Errorf("metadata that nobody enabled: %q", m)
	}
	h.Must("UpdateCampaign", M{"campaignArn": campaign, "campaignConfig": M{"itemExplorationConfig": explore, "enableMetadataWithRecommendations": true}})
	settled(h, "campaign", campaign, "latestCampaignUpdate")
	first := h.Recommend(campaign, d.Users[0], 1)[0]
	row := d.Items[1+slices.IndexFunc(d.Items[1:], func(row []string) bool { return row[0] == first })]
	if m := shows("TITLE", "genres", "Price"); len(m) != 3 || m["title"] != row[1] || m["genres"] != row[2] {
		t.Errorf("metadata %v of %v", m, row)
	}
	h.Must("PutItems", M{"datasetArn": h.Items, "items": []M{{"itemId": first, "properties": `{"title":"another name"}`}}})
	if m := shows("TITLE", "GENRES"); len(m) != 1 || m["title"] != "another name" {
		t.Errorf("after a put without GENRES, which is null then: %v", m)
	}
	if m := h.Refused("InvalidInputException", "GetRecommendations", ask("BRAND")); !strings.Contains(m, "BRAND") {
		t.Errorf("a column that is not there yet: %q", m)
	}
	wide := strings.Replace(shop.ItemsSchema, `{"name":"PRICE"`, `{"name":"BRAND","type":["string","null"]},{"name":"PRICE"`, 1)
	h.Must("UpdateDataset", M{"datasetArn": h.Items, "schemaArn": h.Schema("wide", wide)})
	h.WatchFor("dataset", h.Items, "ACTIVE")
	if m := shows("BRAND"); len(m) != 0 {
		t.Errorf("a column without values: %v", m)
	}
	h.Must("PutItems", M{"datasetArn": h.Items, "items": []M{{"itemId": first, "properties": `{"brand":"acme"}`}}})
	if m := shows("BRAND", "TITLE"); len(m) != 1 || m["brand"] != "acme" {
		t.Errorf("a column that came by UpdateDataset: %v", m)
	}
	h.Kill()
	h.Restart()
	if m := shows("BRAND"); m["brand"] != "acme" {
		t.Errorf("after a restart: %v", m)
	}
}

// TestTheExplorationOfACampaignCanBeUpdated: what is explored is told by the configuration in force, by that of the recipe if it says nothing.
func TestTheExplorationOfACampaignCanBeUpdated(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t))
	d := shop.Generate(60, 30, 1200, 52)
	for n := range 30 { // more than a list has, so that there always is one to explore
		d.Items = append(d.Items, []string{fmt.Sprint("never-seen-", n), "new", "taste-1|all", "1"})
	}
	h.LoadAll(d)
	campaign := h.Make("CreateCampaign", "campaign", M{"name": "c", "solutionVersionArn": h.Version(h.Solution("aws-user-personalization")),
		"campaignConfig": M{"itemExplorationConfig": M{"explorationWeight": "0"}}})
	answers := func() (different int) {
		seen := map[string]bool{}
		for range 40 {
			list := strings.Join(h.Recommend(campaign, d.Users[1], 25), " ")
			if !seen[list] {
				seen[list] = true
				different++
			}
		}
		return different
	}
	if n := answers(); n != 1 {
		t.Errorf("without exploration there are %d answers", n)
	}
	update := func(config M) {
		h.Must("UpdateCampaign", M{"campaignArn": campaign, "campaignConfig": config})
		if c := settled(h, "campaign", campaign, "latestCampaignUpdate"); len(c["campaignConfig"].(M)) != len(config) {
			t.Errorf("the configuration %v is shown as %v", config, c["campaignConfig"])
		}
	}
	update(M{"itemExplorationConfig": M{"explorationWeight": "1", "explorationItemAgeCutOff": "3650"}})
	if n := answers(); n < 5 {
		t.Errorf("with exploration of everything there are %d answers", n)
	}
	update(M{})
	if n := answers(); n < 2 {
		t.Errorf("with the exploration that is usual there are %d answers", n)
	}
	h.Refused("InvalidInputException", "UpdateCampaign", M{"campaignArn": campaign, "campaignConfig": M{"itemExplorationConfig": M{"explorationWeight": "2"}}})
	update(M{"itemExplorationConfig": M{"explorationWeight": "0.0"}})
	if n := answers(); n != 1 {
		t.Errorf("after exploration there are %d answers", n)
	}
}

// TestACampaignThatLeavesAnswersNobody from the first status of its deletion on, and takes no update any more.
func TestACampaignThatLeavesAnswersNobody(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t, "--hold", "200ms"))
	d := shop.Generate(60, 30, 1200, 53)
	h.Load(h.Interactions, d.Interactions)
	version := h.Version(h.Solution("aws-popularity-count"))
	campaign := h.Make("CreateCampaign", "campaign", M{"name": "c", "solutionVersionArn": version})
	h.Must("DeleteCampaign", M{"campaignArn": campaign})
	h.Refused("ResourceNotFoundException", "GetRecommendations", M{"campaignArn": campaign, "userId": d.Users[0]})
	h.Refused("ResourceInUseException", "UpdateCampaign", M{"campaignArn": campaign, "minProvisionedTPS": 2})
	h.Refused("ResourceInUseException", "DeleteCampaign", M{"campaignArn": campaign})
	h.Refused("ResourceAlreadyExistsException", "CreateCampaign", M{"name": "c", "solutionVersionArn": version})
	steps(t, h.WatchGone("campaign", campaign), "DELETE PENDING", "DELETE IN_PROGRESS")
	h.Refused("ResourceNotFoundException", "UpdateCampaign", M{"campaignArn": campaign, "minProvisionedTPS": 2})
	again := h.Make("CreateCampaign", "campaign", M{"name": "c", "solutionVersionArn": version})
	if len(h.Recommend(again, d.Users[0], 5)) != 5 {
		t.Error("a campaign of the name of one that is gone answers nothing")
	}
}

// TestAStoppedRecommenderCanBeUpdated, and is served by the new configuration once it is started.
func TestAStoppedRecommenderCanBeUpdated(t *testing.T) {
	t.Parallel()
	d := domains[0]
	h, events := d.open(t, "--hold", "200ms")
	arn := h.Make("CreateRecommender", "recommender", M{"name": "r", "datasetGroupArn": h.Group, "recipeArn": recipeARN + "aws-ecomm-popular-items-by-views"})
	self := M{"recommenderArn": arn}
	question := M{"recommenderArn": arn, "userId": events[1][0], "numResults": 3}
	answer := h.Must("GetRecommendations", question)["itemList"]
	h.Must("StopRecommender", self)
	if late := h.Must("GetRecommendations", question)["itemList"]; len(late.([]any)) != len(answer.([]any)) {
		t.Errorf("while it is STOP PENDING it answers %v", late)
	}
	h.Refused("ResourceInUseException", "UpdateRecommender", M{"recommenderArn": arn, "recommenderConfig": M{}})
	seen, _ := h.WatchFor("recommender", arn, "INACTIVE")
	if seen[len(seen)-2] != "STOP IN_PROGRESS" {
		t.Errorf("stopping went %v", seen)
	}
	config := M{"enableMetadataWithRecommendations": true, "minRecommendationRequestsPerSecond": 3.0}
	h.Must("UpdateRecommender", M{"recommenderArn": arn, "recommenderConfig": config})
	h.Refused("ResourceInUseException", "StartRecommender", self)
	updated := settled(h, "recommender", arn, "latestRecommenderUpdate")
	if updated["status"] != "INACTIVE" || updated["recommenderConfig"].(M)["minRecommendationRequestsPerSecond"] != 3.0 {
		t.Errorf("a stopped recommender is updated to %v", updated)
	}
	h.Refused("InvalidInputException", "GetRecommendations", question)
	h.Must("StartRecommender", self)
	if m := h.Refused("InvalidInputException", "GetRecommendations", question); !strings.Contains(m, "START") {
		t.Errorf("while it is started it answers %q", m)
	}
	h.WatchFor("recommender", arn, "ACTIVE")
	out := h.Must("GetRecommendations", with(question, M{"metadataColumns": M{"ITEMS": []string{"CATEGORY_L1"}}}))["itemList"].([]any)
	if metadata, _ := out[0].(M)["metadata"].(M); len(metadata) != 1 {
		t.Errorf("started again it answers %v", out)
	}
	h.Must("StopRecommender", self)
	h.WatchFor("recommender", arn, "INACTIVE")
	h.Must("DeleteRecommender", self)
	h.WatchGone("recommender", arn)
}
