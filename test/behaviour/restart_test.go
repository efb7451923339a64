package behaviour

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/test/shop"
)

// lists are all List operations that need no parent, with the name of their result and the noun of what it lists.
var lists = []struct{ operation, result, noun string }{
	{"ListDatasetGroups", "datasetGroups", "datasetGroup"}, {"ListSchemas", "schemas", "schema"}, {"ListDatasets", "datasets", "dataset"},
	{"ListDatasetImportJobs", "datasetImportJobs", "datasetImportJob"}, {"ListDatasetExportJobs", "datasetExportJobs", "datasetExportJob"},
	{"ListDataDeletionJobs", "dataDeletionJobs", "dataDeletionJob"}, {"ListEventTrackers", "eventTrackers", "eventTracker"}, {"ListFilters", "Filters", "filter"},
	{"ListSolutions", "solutions", "solution"}, {"ListSolutionVersions", "solutionVersions", "solutionVersion"}, {"ListCampaigns", "campaigns", "campaign"},
	{"ListRecommenders", "recommenders", "recommender"}, {"ListMetricAttributions", "metricAttributions", "metricAttribution"},
}

// everythingSaid is what List, Describe, ListTagsForResource and GetSolutionMetrics answer about all resources.
func everythingSaid(t *testing.T, h *shop.Shop) M {
	t.Helper()
	said := M{}
	for _, l := range lists {
		rows := h.Must(l.operation, M{})[l.result]
		said[l.operation] = rows
		for _, row := range rows.([]any) {
			arn := row.(M)[l.noun+"Arn"].(string)
			d, err := h.Describe(l.noun, arn)
			if err != nil {
				t.Fatal(err)
			}
			said[arn] = d
			if tags, err := h.Call("ListTagsForResource", M{"resourceArn": arn}); err == nil {
				said[arn+" tags"] = tags["tags"]
			}
			if l.noun == "solutionVersion" && d["status"] == "ACTIVE" {
				said[arn+" metrics"] = h.Must("GetSolutionMetrics", M{"solutionVersionArn": arn})
			}
		}
	}
	return said
}

func TestARestartChangesNothingThatAClientCanSee(t *testing.T) {
	t.Parallel()
	h := shop.New(t, start(t), "group", "ECOMMERCE")
	parts := furnish(t, h)
	for _, p := range parts {
		if p.noun != "schema" && p.noun != "metricAttribution" {
			h.Must("TagResource", M{"resourceArn": p.arn, "tags": []M{{"tagKey": "kept", "tagValue": p.noun}}})
		}
	}
	of := func(noun string) string {
		return parts[slices.IndexFunc(parts, func(p part) bool { return p.noun == noun })].arn
	}
	campaign, recommender := of("campaign"), of("recommender")
	h.Must("UpdateCampaign", M{"campaignArn": campaign, "campaignConfig": M{"itemExplorationConfig": M{"explorationWeight": "0"}}})
	settled(h, "campaign", campaign, "latestCampaignUpdate")
	h.Must("UpdateRecommender", M{"recommenderArn": recommender, "recommenderConfig": M{"itemExplorationConfig": M{"explorationWeight": "0"}}})
	settled(h, "recommender", recommender, "latestRecommenderUpdate")
	wide := h.Schema("wide", schema("Items", "ITEM_ID string", "PRICE float", "CATEGORY_L1 string categorical", "BRAND string?"))
	h.Must("UpdateDataset", M{"datasetArn": h.Items, "schemaArn": wide})
	h.Watch("dataset", h.Items)
	failure(h, "datasetImportJob", h.StartImportOf(h.People, "no-such-object.csv", "FULL"))
	tracker, _ := h.Describe("eventTracker", of("eventTracker"))
	tracking := tracker["trackingId"].(string)

	// data is what the group holds and answers.
	data := func() (said M) {
		said = M{}
		for _, user := range []string{"canary-live", "canary-session", "canary-never-seen"} {
			said[user] = shown(h, campaign, user)
			said[user+" asks the recommender"] = ask(h, recommender, user)
		}
		for _, arn := range []string{h.Interactions, h.Items, h.People} {
			for _, mode := range []string{"BULK", "PUT", "ALL"} {
				said[arn+" "+mode] = shop.Lines(h.Export(arn, mode))
			}
		}
		return said
	}
	visit(h, tracking, "", "canary-session", "item-0003", 1)
	held := data()
	for n, stop := range []func(){func() {
		if status := h.Stop(); status != 0 {
			t.Errorf("SIGTERM ended the server with status %d", status)
		}
	}, h.Kill, h.Kill} {
		said := everythingSaid(t, h)
		stop()
		h.Restart()
		if diff := cmp.Diff(said, everythingSaid(t, h)); diff != "" {
			t.Errorf("descriptions after restart %d (-before +after):\n%s", n, diff)
		}
		if diff := cmp.Diff(held, data()); diff != "" {
			t.Errorf("data after restart %d (-before +after):\n%s", n, diff)
		}
	}

	asked := shown(h, campaign, "canary-session")
	visit(h, tracking, "", "canary-session", "item-0007", 2)
	h.Kill()
	h.Restart()
	changed := shown(h, campaign, "canary-session")
	if changed == asked {
		t.Error("an event that was acknowledged just before kill -9 changes nothing")
	}
	visit(h, tracking, "", "canary-session", "item-0009", 3)
	if shown(h, campaign, "canary-session") == changed {
		t.Error("after a restart a new event changes nothing")
	}
}

func TestJobsThatWaitAtSIGTERMGoOnAfterIt(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t, "--hold", "100ms"))
	d := shop.Generate(80, 60, 2000, 81)
	h.Load(h.Interactions, d.Interactions)
	solution := h.Solution("aws-popularity-count")
	waiting := map[string]string{
		h.StartImport(h.Interactions, d.Interactions[:1500], "FULL"):                                             "datasetImportJob",
		h.StartDeletion(d.Users[0]):                                                                              "dataDeletionJob",
		h.Must("CreateSolutionVersion", M{"solutionArn": solution})["solutionVersionArn"].(string):               "solutionVersion",
		h.Must("CreateDatasetGroup", M{"name": "later"})["datasetGroupArn"].(string):                             "datasetGroup",
		h.Must("CreateEventTracker", M{"name": "later", "datasetGroupArn": h.Group})["eventTrackerArn"].(string): "eventTracker",
	}
	exported, prefix := h.StartExport(h.People, "ALL")
	waiting[exported] = "datasetExportJob"
	h.Stop()
	h.Restart()
	for arn, noun := range waiting {
		if d := h.Wait(noun, arn); d["status"] != "ACTIVE" && d["status"] != "COMPLETED" {
			t.Errorf("%s ended %v: %v", arn, d["status"], d["failureReason"])
		}
	}
	if texts := h.Download(h.Objects, prefix); fmt.Sprint(texts) != "[USER_ID,TIER\n]" {
		t.Errorf("the export wrote %q", texts)
	}
	equalRows(t, "interactions", shop.Without(d.Interactions[:1500], d.Users[0]), h.Export(h.Interactions, "ALL"))
}
