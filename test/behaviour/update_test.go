package behaviour

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/test/shop"
)

func TestUpdateDatasetAddsColumnsToRowsThatAreThere(t *testing.T) {
	t.Parallel()
	s := start(t)
	h := shop.New(t, s, "update", "")
	h.Items = h.Dataset("Items", schema("Items", "ITEM_ID string", "GENRES string? categorical", "PRICE float"))
	header := []string{"ITEM_ID", "GENRES", "PRICE"}
	h.Load(h.Items, [][]string{header, {"i1", "a", "1"}, {"i2", "", "2"}})
	h.Must("PutItems", M{"datasetArn": h.Items, "items": []M{{"itemId": "i3", "properties": `{"price":3,"brand":"ignored"}`}}})
	s.Stop()
	s.Args("--hold", "200ms") // for what is to be watched
	s.Restart()

	const before = "GENRES string? categorical"
	for name, fields := range map[string][]string{
		"drops a field":          {before, "BRAND string?"},
		"changes a type":         {before, "PRICE double", "BRAND string?"},
		"changes an attribute":   {"GENRES string?", "PRICE float", "BRAND string?"},
		"adds one without null":  {before, "PRICE float", "BRAND string"},
		"lets a field have null": {before, "PRICE float?"},
	} {
		bad := h.Schema(strings.ReplaceAll(name, " ", "-"), schema("Items", append([]string{"ITEM_ID string"}, fields...)...))
		if m := h.Refused("InvalidInputException", "UpdateDataset", M{"datasetArn": h.Items, "schemaArn": bad}); !strings.Contains(m, "new schema must") && !strings.Contains(m, "must admit null") {
			t.Errorf("%s: %q", name, m)
		}
	}
	users := h.Schema("users", shop.UsersSchema)
	h.Refused("InvalidInputException", "UpdateDataset", M{"datasetArn": h.Items, "schemaArn": users})
	next := h.Schema("next", schema("Items", "ITEM_ID string", "BRAND string? categorical", "GENRES string? categorical", "PRICE float", "STOCK long?"))
	d, _ := h.Describe("dataset", h.Items)
	old := d["schemaArn"].(string)
	if d["latestDatasetUpdate"] != nil {
		t.Errorf("before any update the dataset shows %v", d["latestDatasetUpdate"])
	}

	h.Must("UpdateDataset", M{"datasetArn": h.Items, "schemaArn": next})
	h.Refused("ResourceInUseException", "UpdateDataset", M{"datasetArn": h.Items, "schemaArn": next})
	h.Refused("ResourceInUseException", "PutItems", M{"datasetArn": h.Items, "items": []M{{"itemId": "i9", "properties": `{"price":3}`}}})
	h.Refused("ResourceInUseException", "DeleteDataset", M{"datasetArn": h.Items})
	h.Refused("ResourceInUseException", "CreateDatasetExportJob", M{"jobName": "early", "datasetArn": h.Items, "roleArn": shop.Role,
		"jobOutput": M{"s3DataDestination": M{"path": "s3://shop/early"}}})
	seen, d := h.Watch("dataset", h.Items)
	steps(t, seen, "UPDATE PENDING", "UPDATE IN_PROGRESS", "ACTIVE")
	update, _ := d["latestDatasetUpdate"].(M)
	if d["schemaArn"] != next || update["status"] != "ACTIVE" || update["schemaArn"] != next {
		t.Errorf("after the update the dataset is %v", d)
	}

	wide := [][]string{{"ITEM_ID", "BRAND", "GENRES", "PRICE", "STOCK"}, {"i1", "", "a", "1", ""}, {"i2", "", "", "2", ""}, {"i3", "", "", "3", ""}}
	equalRows(t, "rows that were there", wide, h.Export(h.Items, "ALL"))
	if m := h.Refused("InvalidInputException", "PutItems", M{"datasetArn": h.Items, "items": []M{{"itemId": "i4", "properties": `{"price":4,"stock":"none"}`}}}); !strings.Contains(m, "STOCK") {
		t.Errorf("a put that does not fit the new column: %q", m)
	}
	h.Must("PutItems", M{"datasetArn": h.Items, "items": []M{{"itemId": "i4", "properties": `{"price":4,"stock":4,"Brand":"x|y"}`}}})
	equalRows(t, "with a new row", append(wide, []string{"i4", "x|y", "", "4", "4"}), h.Export(h.Items, "ALL"))
	if reason := failure(h, "datasetImportJob", h.StartImport(h.Items, [][]string{header, {"i1", "a", "1"}}, "FULL")); reason != "Input CSV is missing the following columns:[BRAND, STOCK]." {
		t.Errorf("an import with the old columns: %q", reason)
	}
	h.Imported(h.StartImport(h.Items, [][]string{wide[0], {"i5", "b", "c", "5", "5"}}, "INCREMENTAL"))
	h.Must("CreateFilter", M{"name": "new-column", "datasetGroupArn": h.Group, "filterExpression": `INCLUDE ItemID WHERE Items.BRAND IN ("x")`})

	h.Must("DeleteSchema", M{"schemaArn": old})
	h.Refused("ResourceInUseException", "DeleteSchema", M{"schemaArn": next})
	s.Kill()
	s.Restart()
	equalRows(t, "after a restart", append(wide, []string{"i4", "x|y", "", "4", "4"}, []string{"i5", "b", "c", "5", "5"}), h.Export(h.Items, "ALL"))
}

func TestOnlyItemsAndUsersCanBeUpdated(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t))
	wide := h.Schema("wide", schema("Interactions", "USER_ID string", "ITEM_ID string", "TIMESTAMP long", "EVENT_TYPE string", "EVENT_VALUE float?", "DEVICE string?"))
	if m := h.Refused("InvalidInputException", "UpdateDataset", M{"datasetArn": h.Interactions, "schemaArn": wide}); !strings.Contains(m, "INTERACTIONS") {
		t.Errorf("an Interactions dataset: %q", m)
	}
	h.Load(h.People, [][]string{{"USER_ID", "TIER"}, {"canary-1", "gold"}})
	h.Must("UpdateDataset", M{"datasetArn": h.People, "schemaArn": h.Schema("people", schema("Users", "USER_ID string", "TIER string? categorical", "AGE int?"))})
	h.Watch("dataset", h.People)
	h.Must("PutUsers", M{"datasetArn": h.People, "users": []M{{"userId": "canary-2", "properties": `{"age":"7"}`}}})
	equalRows(t, "users", [][]string{{"USER_ID", "TIER", "AGE"}, {"canary-1", "gold", ""}, {"canary-2", "", "7"}}, h.Export(h.People, "ALL"))
	if n := h.Forget("canary-1"); n != 1 {
		t.Errorf("numDeleted is %d", n)
	}
}

// shown tells what a list of recommendations looks like, with scores.
func shown(h *shop.Shop, campaign, user string) string {
	h.T.Helper()
	return fmt.Sprint(h.Answer(campaign, user, 10))
}

func TestACampaignUpdateSwapsAnswersAtOnceAndForGood(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t, "--hold", "200ms"))
	d := shop.Generate(80, 60, 2000, 41)
	h.Load(h.Interactions, d.Interactions)
	popular, personal := h.Version(h.Solution("aws-popularity-count")), h.Version(h.Solution("aws-user-personalization"))
	campaign := h.Must("CreateCampaign", M{"name": "c", "solutionVersionArn": popular, "minProvisionedTPS": 3})["campaignArn"].(string)
	h.Refused("InvalidInputException", "GetRecommendations", M{"campaignArn": campaign, "userId": "canary-x"})
	seen, made := h.Watch("campaign", campaign)
	steps(t, seen, "CREATE PENDING", "CREATE IN_PROGRESS", "ACTIVE")
	if made["latestCampaignUpdate"] != nil || made["minProvisionedTPS"] != 3.0 || made["solutionVersionArn"] != popular {
		t.Errorf("the campaign is %v", made)
	}
	old := shown(h, campaign, d.Users[0])
	other := h.Make("CreateCampaign", "campaign", M{"name": "other", "solutionVersionArn": personal, "campaignConfig": M{"itemExplorationConfig": M{"explorationWeight": "0"}}})
	want := shown(h, other, d.Users[0])
	if old == want {
		t.Fatal("both models answer the same")
	}

	h.Must("UpdateCampaign", M{"campaignArn": campaign, "solutionVersionArn": personal, "campaignConfig": M{"itemExplorationConfig": M{"explorationWeight": "0"}}})
	h.Refused("ResourceInUseException", "UpdateCampaign", M{"campaignArn": campaign, "minProvisionedTPS": 9})
	h.Refused("ResourceInUseException", "DeleteCampaign", M{"campaignArn": campaign})
	h.Refused("ResourceInUseException", "DeleteSolution", M{"solutionArn": personal[:strings.LastIndex(personal, "/")]})
	var statuses []string
	swapped := false
	for {
		described, err := h.Describe("campaign", campaign)
		if err != nil {
			t.Fatal(err)
		}
		answer := shown(h, campaign, d.Users[0])
		update := described["latestCampaignUpdate"].(M)
		if status := update["status"].(string); len(statuses) == 0 || statuses[len(statuses)-1] != status {
			statuses = append(statuses, status)
		}
		if described["status"] != "ACTIVE" {
			t.Fatalf("while it is updated the campaign is %v", described["status"])
		}
		if answer != old && answer != want {
			t.Fatal("an answer is neither the old one nor the new one")
		}
		if swapped && answer == old {
			t.Fatal("the old version answers after the new one did")
		}
		swapped = answer == want
		if update["status"] == "ACTIVE" {
			if !swapped {
				t.Error("the update is ACTIVE and the old version answers")
			}
			if described["solutionVersionArn"] != personal || described["minProvisionedTPS"] != 3.0 {
				t.Errorf("the updated campaign is %v", described)
			}
			break
		}
		if described["solutionVersionArn"] != popular {
			t.Errorf("before the update is ACTIVE the campaign shows %v", described["solutionVersionArn"])
		}
	}
	steps(t, statuses, "CREATE PENDING", "CREATE IN_PROGRESS", "ACTIVE")
	h.Refused("InvalidInputException", "UpdateCampaign", M{"campaignArn": campaign, "solutionVersionArn": popular}) // which explores nothing
	h.Must("UpdateCampaign", M{"campaignArn": campaign, "minProvisionedTPS": 7})
	if d := settled(h, "campaign", campaign, "latestCampaignUpdate"); d["minProvisionedTPS"] != 7.0 || d["solutionVersionArn"] != personal {
		t.Errorf("after an update of the TPS alone the campaign is %v", d)
	}
}

func TestACampaignThatFollowsTheLatestVersionGetsIt(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t))
	d := shop.Generate(80, 60, 2000, 42)
	h.Load(h.Interactions, d.Interactions)
	solution := h.Solution("aws-user-personalization-v2")
	latest := solution + "/$LATEST"
	h.Refused("InvalidInputException", "CreateCampaign", M{"name": "early", "solutionVersionArn": latest})
	first := h.Version(solution)
	h.Refused("InvalidInputException", "CreateCampaign", M{"name": "fixed", "solutionVersionArn": first, "campaignConfig": M{"syncWithLatestSolutionVersion": true}})
	follows := h.Make("CreateCampaign", "campaign", M{"name": "follows", "solutionVersionArn": latest, "campaignConfig": M{"syncWithLatestSolutionVersion": true}})
	stays := h.Make("CreateCampaign", "campaign", M{"name": "stays", "solutionVersionArn": latest})
	for _, arn := range []string{follows, stays} {
		if c, _ := h.Describe("campaign", arn); c["solutionVersionArn"] != first {
			t.Errorf("with $LATEST the campaign shows %v, want the version itself", c["solutionVersionArn"])
		}
	}
	h.Load(h.Interactions, shop.Without(d.Interactions, d.Users[:40]...))
	old := shown(h, follows, "canary-x")
	second := h.Version(solution)
	moved := settled(h, "campaign", follows, "latestCampaignUpdate")
	if moved["solutionVersionArn"] != second {
		t.Errorf("the campaign that follows shows %v, want %s", moved["solutionVersionArn"], second)
	}
	if shown(h, follows, "canary-x") == old {
		t.Error("the campaign that follows answers as before")
	}
	if c, _ := h.Describe("campaign", stays); c["solutionVersionArn"] != first || c["latestCampaignUpdate"] != nil || shown(h, stays, "canary-x") != old {
		t.Errorf("the campaign that does not follow was moved: %v", c)
	}
	if diff := cmp.Diff(second, h.Must("ListSolutionVersions", M{"solutionArn": solution})["solutionVersions"].([]any)[0].(M)["solutionVersionArn"]); diff != "" {
		t.Errorf("the newest version is not listed first:\n%s", diff)
	}
}

func TestATrainingCanBeStoppedUntilItIsDone(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t, "--hold", "200ms"))
	h.Load(h.Interactions, shop.Generate(80, 60, 2000, 43).Interactions)
	solution := h.Solution("aws-user-personalization")
	train := func() string {
		return h.Must("CreateSolutionVersion", M{"solutionArn": solution})["solutionVersionArn"].(string)
	}
	stop := func(arn string) M { return M{"solutionVersionArn": arn} }

	running := train()
	h.WatchFor("solutionVersion", running, "CREATE IN_PROGRESS")
	h.Must("StopSolutionVersionCreation", stop(running))
	seen, stopped := h.WatchFor("solutionVersion", running, "CREATE STOPPED", "ACTIVE")
	if seen[len(seen)-1] != "CREATE STOPPED" || stopped["trainingHours"] != nil || stopped["failureReason"] != nil {
		t.Errorf("a stopped training went %v and is %v", seen, stopped)
	}
	waiting := train()
	h.Must("StopSolutionVersionCreation", stop(waiting))
	seen, _ = h.WatchFor("solutionVersion", waiting, "CREATE STOPPED", "ACTIVE")
	if seen[len(seen)-1] != "CREATE STOPPED" {
		t.Errorf("a training that was stopped before it began went %v", seen)
	}
	for _, arn := range []string{running, waiting} {
		h.Refused("ResourceInUseException", "StopSolutionVersionCreation", stop(arn))
		h.Refused("InvalidInputException", "CreateCampaign", M{"name": "never", "solutionVersionArn": arn})
		h.Refused("ResourceInUseException", "GetSolutionMetrics", stop(arn))
	}
	h.Refused("InvalidInputException", "CreateCampaign", M{"name": "never", "solutionVersionArn": solution + "/$LATEST"})
	done := h.Version(solution)
	h.Refused("ResourceInUseException", "StopSolutionVersionCreation", stop(done))
	if dirs := h.ModelDirs(); len(dirs) != 1 {
		t.Errorf("%d model directories are left of one training that ended and two that did not", len(dirs))
	}
	h.Make("CreateCampaign", "campaign", M{"name": "latest", "solutionVersionArn": solution + "/$LATEST"})
}

// TestSwapsUnderLoadFailNoAnswerAndMixNone moves a campaign between two versions again and again while clients ask it.
func TestSwapsUnderLoadFailNoAnswerAndMixNone(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t))
	d := shop.Generate(80, 60, 2000, 52)
	solution := h.Solution("aws-user-personalization")
	config := M{"itemExplorationConfig": M{"explorationWeight": "0"}}
	users := d.Users[:4]
	var versions []string
	var want [][]string // by version and user
	for n := range 2 {
		h.Load(h.Interactions, shop.Without(d.Interactions, d.Users[20:20+30*n]...))
		versions = append(versions, h.Version(solution))
		fixed := h.Make("CreateCampaign", "campaign", M{"name": h.Name("fixed"), "solutionVersionArn": versions[n], "campaignConfig": config})
		var lists []string
		for _, user := range users {
			lists = append(lists, shown(h, fixed, user))
		}
		want = append(want, lists)
	}
	for u := range users {
		if want[0][u] == want[1][u] {
			t.Fatal("both versions answer the same")
		}
	}
	campaign := h.Make("CreateCampaign", "campaign", M{"name": "swapped", "solutionVersionArn": versions[0], "campaignConfig": config})

	stop := make(chan struct{})
	var clients sync.WaitGroup
	for u, user := range users {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				out, err := h.Call("GetRecommendations", M{"campaignArn": campaign, "userId": user, "numResults": 10})
				if err != nil {
					t.Errorf("during a swap: %v", err)
					return
				}
				var items []M
				for _, item := range out["itemList"].([]any) {
					items = append(items, item.(M))
				}
				if got := fmt.Sprint(items); got != want[0][u] && got != want[1][u] {
					t.Errorf("an answer is of neither version: %s", got)
					return
				}
			}
		})
	}
	for n := range 30 {
		next := (n + 1) % 2
		h.Must("UpdateCampaign", M{"campaignArn": campaign, "solutionVersionArn": versions[next]})
		settled(h, "campaign", campaign, "latestCampaignUpdate")
		if got := shown(h, campaign, users[0]); got != want[next][0] {
			t.Errorf("after update %d the campaign does not answer by its version", n)
			break
		}
	}
	close(stop)
	clients.Wait()
}
