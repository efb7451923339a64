package plan

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/palate-dev/palate/test/server"
	"github.com/palate-dev/palate/test/shop"
)

type m = map[string]any

// job is the main job under way.
type job struct {
	*testing.T
	*server.Server
	client Client
}

// call makes one call that has to succeed, and returns its output.
func (j job) call(service, operation string, input m) m {
	j.Helper()
	return j.calls(Call{Service: service, Operation: operation, Input: input})[0]
}

// calls makes several in one program.
func (j job) calls(calls ...Call) (outputs []m) {
	j.Helper()
	for i, r := range j.client.Run(j.T, j.URL, calls) {
		if r.Error != nil {
			j.Fatalf("%s: %+v", calls[i].Operation, *r.Error)
		}
		out, _ := r.Output.(m)
		outputs = append(outputs, out)
	}
	return outputs
}

// ready waits until resources are usable. The wait is ours, so that a client need not be started for each look.
func (j job) ready(noun string, arns ...any) {
	j.Helper()
	for _, arn := range arns {
		if d := j.Wait(noun, arn.(string)); d["status"] != "ACTIVE" && d["status"] != "COMPLETED" {
			j.Fatalf("%s: %v", arn, d)
		}
	}
}

func control(operation string, input m) Call {
	return Call{Service: "personalize", Operation: operation, Input: input}
}

// MainJob drives the binary by a client from the first schema to the last deletion: import, training, campaign, recommendations, events, a filter, a batch job, an export, a
// data deletion. The client makes every call of the API; files go to the embedded S3 beside it.
func MainJob(t *testing.T, c Client) {
	j := job{t, server.Start(t), c}
	c.Run(t, j.URL, []Call{control("ListSchemas", nil)}) // skips the test if there is no client
	bucket := j.Bucket("shop")
	d := shop.Generate(60, 40, 1500, 3)
	j.Upload(bucket, "interactions.csv", shop.ToCSV(d.Interactions))
	j.Upload(bucket, "items.csv", shop.ToCSV(d.Items))
	user, visitor := d.Users[3], "visitor"
	source := func(key string) m { return m{"dataLocation": "s3://shop/" + key} }
	output := func(folder string) m { return m{"s3DataDestination": m{"path": "s3://shop/" + folder + "/"}} }

	made := j.calls(control("CreateDatasetGroup", m{"name": "g", "tags": []m{{"tagKey": "stage", "tagValue": "test"}}}),
		control("CreateSchema", m{"name": "interactions", "schema": shop.InteractionsSchema}), control("CreateSchema", m{"name": "items", "schema": shop.ItemsSchema}))
	group, schemas := made[0]["datasetGroupArn"], []any{made[1]["schemaArn"], made[2]["schemaArn"]}
	j.ready("datasetGroup", group)
	made = j.calls(control("CreateDataset", m{"name": "interactions", "datasetType": "Interactions", "datasetGroupArn": group, "schemaArn": schemas[0]}),
		control("CreateDataset", m{"name": "items", "datasetType": "Items", "datasetGroupArn": group, "schemaArn": schemas[1]}))
	datasets := []any{made[0]["datasetArn"], made[1]["datasetArn"]}
	j.ready("dataset", datasets...)
	made = j.calls(control("CreateDatasetImportJob", m{"jobName": "interactions", "datasetArn": datasets[0], "roleArn": shop.Role, "dataSource": source("interactions.csv")}),
		control("CreateDatasetImportJob", m{"jobName": "items", "datasetArn": datasets[1], "roleArn": shop.Role, "dataSource": source("items.csv")}),
		control("CreateEventTracker", m{"name": "t", "datasetGroupArn": group}),
		control("CreateSolution", m{"name": "s", "datasetGroupArn": group, "recipeArn": "arn:aws:personalize:::recipe/aws-user-personalization", "performAutoTraining": false}),
		control("CreateFilter", m{"name": "f", "datasetGroupArn": group, "filterExpression": `EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("view") | INCLUDE ItemID WHERE Items.GENRES IN ($GENRES)`}))
	tracker, tracking, solution, filter := made[2]["eventTrackerArn"], made[2]["trackingId"], made[3]["solutionArn"], made[4]["filterArn"]
	j.ready("datasetImportJob", made[0]["datasetImportJobArn"], made[1]["datasetImportJobArn"])
	j.ready("eventTracker", tracker)
	j.ready("solution", solution)
	j.ready("filter", filter)
	version := j.call("personalize", "CreateSolutionVersion", m{"solutionArn": solution})["solutionVersionArn"]
	j.ready("solutionVersion", version)
	made = j.calls(control("GetSolutionMetrics", m{"solutionVersionArn": version}),
		control("CreateCampaign", m{"name": "c", "solutionVersionArn": version, "minProvisionedTPS": 1, "campaignConfig": m{"itemExplorationConfig": m{"explorationWeight": "0"}}}))
	if metrics, _ := made[0]["metrics"].(m); metrics["coverage"] == nil {
		t.Errorf("metrics are %v", made[0])
	}
	campaign := made[1]["campaignArn"]
	j.ready("campaign", campaign)

	ask := func(user string, more m) Call {
		in := m{"campaignArn": campaign, "userId": user, "numResults": 10}
		for k, v := range more {
			in[k] = v
		}
		return Call{Service: "personalize-runtime", Operation: "GetRecommendations", Input: in}
	}
	filtered := m{"filterArn": filter, "filterValues": m{"GENRES": `"taste-1"`}}
	liked := d.Items[2][0] // of taste 1
	made = j.calls(ask(user, nil), ask(visitor, nil), ask(visitor, filtered),
		Call{Service: "personalize-events", Operation: "PutEvents", Input: m{"trackingId": tracking, "userId": visitor, "sessionId": "s",
			"eventList": []m{{"eventType": "view", "itemId": liked, "sentAt": m{"$date": 1_800_000_000_000}}}}},
		ask(visitor, nil), ask(visitor, filtered))
	known, before, after := items(t, made[0]), items(t, made[1]), items(t, made[4])
	if len(known) != 10 || len(before) != 10 || slices.Equal(before, after) {
		t.Errorf("a user gets %v, a visitor %v and after an event %v", known, before, after)
	}
	if first, second := items(t, made[2]), items(t, made[5]); !slices.Contains(first, liked) || slices.Contains(second, liked) || len(second) != len(first)-1 && len(second) != 10 {
		t.Errorf("under a filter a visitor gets %v and after an event with %s %v", first, liked, second)
	}

	j.Upload(bucket, "ask/users.json", fmt.Sprintf("{\"userId\":%q}\n", user))
	j.Upload(bucket, "forget.csv", "USER_ID\n"+user+"\n"+visitor+"\n")
	made = j.calls(control("CreateBatchInferenceJob", m{"jobName": "b", "solutionVersionArn": version, "roleArn": shop.Role, "numResults": 10,
		"batchInferenceJobConfig": m{"itemExplorationConfig": m{"explorationWeight": "0"}}, "jobInput": m{"s3DataSource": m{"path": "s3://shop/ask/users.json"}}, "jobOutput": output("batch")}),
		control("CreateDatasetExportJob", m{"jobName": "e", "datasetArn": datasets[0], "roleArn": shop.Role, "ingestionMode": "PUT", "jobOutput": output("export")}))
	j.ready("batchInferenceJob", made[0]["batchInferenceJobArn"])
	j.ready("datasetExportJob", made[1]["datasetExportJobArn"])
	if out := j.Download(bucket, "batch/users.json.out"); len(out) != 1 || !slices.Equal(batchItems(t, out[0]), known) {
		t.Errorf("a batch answers %v, a request %v", out, known)
	}
	if out := j.Download(bucket, "export/e/"); len(out) != 1 || len(shop.FromCSV(t, out)) != 2 {
		t.Errorf("the export of what was put is %v", out)
	}
	deletion := j.call("personalize", "CreateDataDeletionJob", m{"jobName": "d", "datasetGroupArn": group, "roleArn": shop.Role, "dataSource": source("forget.csv")})["dataDeletionJobArn"]
	j.ready("dataDeletionJob", deletion)
	made = j.calls(ask(user, nil), ask(visitor, nil), ask("somebody", nil), control("DescribeDataDeletionJob", m{"dataDeletionJobArn": deletion}), control("DeleteCampaign", m{"campaignArn": campaign}))
	for _, out := range made[:2] {
		if got, want := items(t, out), items(t, made[2]); !slices.Equal(got, want) {
			t.Errorf("after the deletion a deleted user gets %v, somebody else %v", got, want)
		}
	}
	if job, _ := made[3]["dataDeletionJob"].(m); job["numDeleted"] == nil {
		t.Errorf("the deletion is described as %v", made[3])
	}
	j.gone("campaign", campaign)
	j.calls(control("DeleteSolution", m{"solutionArn": solution}), control("DeleteEventTracker", m{"eventTrackerArn": tracker}), control("DeleteFilter", m{"filterArn": filter}))
	j.gone("solution", solution)
	j.gone("eventTracker", tracker)
	j.gone("filter", filter)
	j.calls(control("DeleteDataset", m{"datasetArn": datasets[0]}), control("DeleteDataset", m{"datasetArn": datasets[1]}))
	j.gone("dataset", datasets...)
	j.call("personalize", "DeleteDatasetGroup", m{"datasetGroupArn": group})
	j.gone("datasetGroup", group)
	last := c.Run(t, j.URL, []Call{control("DeleteSchema", m{"schemaArn": schemas[0]}), control("DescribeCampaign", m{"campaignArn": campaign})})
	if e := last[1].Error; last[0].Error != nil || e == nil || !e.Typed || e.Name != "ResourceNotFoundException" {
		t.Errorf("at the end: %+v", last)
	}
}

// gone waits until resources that are being deleted are not found.
func (j job) gone(noun string, arns ...any) {
	j.Helper()
	h := &shop.Shop{Server: j.Server, T: j.T}
	for _, arn := range arns {
		h.WatchGone(noun, arn.(string))
	}
}

// batchItems are the ids of the first line of a batch's result.
func batchItems(t *testing.T, result string) []string {
	t.Helper()
	var line struct {
		Output struct{ RecommendedItems []string }
	}
	if err := json.NewDecoder(strings.NewReader(result)).Decode(&line); err != nil {
		t.Errorf("a result is %q: %v", result, err)
	}
	return line.Output.RecommendedItems
}

// items are the ids of an answer.
func items(t *testing.T, out m) (ids []string) {
	t.Helper()
	list, _ := out["itemList"].([]any)
	for _, x := range list {
		id, _ := x.(m)["itemId"].(string)
		ids = append(ids, id)
	}
	if id, _ := out["recommendationId"].(string); id == "" || len(ids) == 0 {
		t.Errorf("an answer is %v", out)
	}
	return ids
}
