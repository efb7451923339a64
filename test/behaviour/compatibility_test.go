package behaviour

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/api/apitest"
	"github.com/palate-dev/palate/test/shop"
)

// tableRow finds the first two cells of the rows of the page whose first cell is code.
var tableRow = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| ([^|]+) \\|")

// compatibility reads docs/compatibility.md: what it says of each operation, in the order of the page, and of each request that is refused, its error.
func compatibility(t *testing.T) (operations [][2]string, refused map[string]string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/compatibility.md")
	if err != nil {
		t.Fatal(err)
	}
	supported, rest, ok := strings.Cut(string(page), "## What is refused")
	if !ok {
		t.Fatal("the page does not say what is refused")
	}
	for _, m := range tableRow.FindAllStringSubmatch(supported, -1) {
		operations = append(operations, [2]string{m[1], m[2]})
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	refused = map[string]string{}
	for _, m := range tableRow.FindAllStringSubmatch(rest, -1) {
		refused[m[1]] = m[2]
	}
	return operations, refused
}

// modelled are the names of the operations of the three public models.
func modelled() (names []string) {
	for _, o := range apitest.Operations(nil) {
		names = append(names, o.Name)
	}
	slices.Sort(names)
	return names
}

func TestTheCompatibilityPageHasEveryOperationOnce(t *testing.T) {
	operations, _ := compatibility(t)
	var names []string
	for _, o := range operations {
		names = append(names, o[0])
	}
	slices.Sort(names)
	if diff := cmp.Diff(modelled(), names); diff != "" {
		t.Errorf("the page has other operations than the models (-models +page):\n%s", diff)
	}
	if len(names) != 79 {
		t.Errorf("%d operations", len(names))
	}
}

// caller calls operations and remembers which of them were done.
type caller struct {
	*shop.Shop
	done map[string]bool
}

func (c caller) do(operation string, in M) M {
	c.T.Helper()
	out := c.Must(operation, in)
	c.done[operation] = true
	return out
}

// make does a Create, a Describe and a List, and waits until the resource is usable. Names of lists are those of the API.
func (c caller) make(kind, list string, in M) (arn string) {
	c.T.Helper()
	noun := strings.ToLower(kind[:1]) + kind[1:]
	arn = c.do("Create"+kind, in)[noun+"Arn"].(string)
	status := c.Wait(noun, arn)["status"]
	if status != "ACTIVE" && status != "COMPLETED" {
		c.T.Fatalf("%s: %v", arn, status)
	}
	c.do("Describe"+kind, M{noun + "Arn": arn})
	c.do(list, M{})
	return arn
}

// What the page says is done here is done: each operation in a story in which it has something to do.
func TestWhatTheCompatibilityPageCallsSupportedIs(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t, "--hold", "50ms"))
	c := caller{h, map[string]bool{}}
	d := shop.Generate(60, 40, 1500, 9)
	loyal := loyalty(t, h)
	h.Load(h.Items, d.Items)
	h.Load(h.People, d.Profiles)

	plain := c.do("CreateSchema", M{"name": "plain", "schema": shop.ItemsSchema})["schemaArn"].(string)
	c.do("DescribeSchema", M{"schemaArn": plain})
	c.do("ListSchemas", M{})
	spare := c.make("DatasetGroup", "ListDatasetGroups", M{"name": "spare"})
	dataset := c.make("Dataset", "ListDatasets", M{"name": "spare", "datasetType": "Items", "schemaArn": plain, "datasetGroupArn": spare})
	wide := strings.Replace(shop.ItemsSchema, `{"name":"PRICE"`, `{"name":"BRAND","type":["string","null"]},{"name":"PRICE"`, 1)
	c.do("UpdateDataset", M{"datasetArn": dataset, "schemaArn": c.Schema("wide", wide)})
	h.WatchFor("dataset", dataset, "ACTIVE")
	for _, o := range []string{"TagResource", "ListTagsForResource", "UntagResource"} {
		in := map[string]M{"TagResource": {"tags": []M{{"tagKey": "a", "tagValue": "b"}}}, "UntagResource": {"tagKeys": []string{"a"}}}[o]
		c.do(o, with(M{"resourceArn": spare}, in))
	}

	h.Upload(h.Objects, "more.csv", shop.ToCSV(d.Interactions))
	c.make("DatasetImportJob", "ListDatasetImportJobs", M{"jobName": "more", "datasetArn": h.Interactions, "roleArn": shop.Role, "importMode": "INCREMENTAL", "dataSource": M{"dataLocation": "s3://shop/more.csv"}})
	out := c.do("CreateEventTracker", M{"name": "tracker", "datasetGroupArn": h.Group})
	tracker := out["eventTrackerArn"].(string)
	h.Wait("eventTracker", tracker)
	c.do("DescribeEventTracker", M{"eventTrackerArn": tracker})
	c.do("ListEventTrackers", M{})
	c.do("PutEvents", M{"trackingId": out["trackingId"], "userId": loyal[0], "sessionId": "s", "eventList": []M{{"eventType": "view", "itemId": "item-0-0", "sentAt": 1_700_300_000}}})
	c.do("PutItems", M{"datasetArn": h.Items, "items": []M{{"itemId": "put", "properties": `{"genres":"a"}`}}})
	c.do("PutUsers", M{"datasetArn": h.People, "users": []M{{"userId": "canary-put", "properties": `{"tier":"gold"}`}}})
	actions := strings.Replace(h.Items, "/ITEMS", "/ACTIONS", 1)
	c.do("PutActions", M{"datasetArn": actions, "actions": []M{{"actionId": "put", "properties": `{"value":1}`}}})
	acted, err := h.Describe("dataset", strings.Replace(h.Items, "/ITEMS", "/ACTION_INTERACTIONS", 1))
	if err != nil {
		t.Fatal(err)
	}
	c.do("PutActionInteractions", M{"trackingId": acted["trackingId"], "actionInteractions": []M{{"userId": loyal[0], "sessionId": "s", "actionId": "put", "eventType": "Viewed", "timestamp": 1_700_300_000}}})
	c.make("DatasetExportJob", "ListDatasetExportJobs", M{"jobName": "out", "datasetArn": h.Items, "roleArn": shop.Role, "jobOutput": M{"s3DataDestination": M{"path": "s3://shop/out/"}}})
	filter := c.make("Filter", "ListFilters", M{"name": "f", "datasetGroupArn": h.Group, "filterExpression": `EXCLUDE ItemID WHERE Items.GENRES IN ("war")`})
	attribution := c.make("MetricAttribution", "ListMetricAttributions", M{"name": "m", "datasetGroupArn": h.Group, "metricsOutputConfig": M{"roleArn": shop.Role},
		"metrics": []M{{"eventType": "view", "metricName": "views", "expression": "SAMPLECOUNT()"}}})
	c.do("ListMetricAttributionMetrics", M{"metricAttributionArn": attribution})
	c.do("UpdateMetricAttribution", M{"metricAttributionArn": attribution, "addMetrics": []M{{"eventType": "buy", "metricName": "buys", "expression": "SAMPLECOUNT()"}}})

	c.do("ListRecipes", M{})
	described := c.do("DescribeRecipe", M{"recipeArn": recipeARN + "aws-user-personalization"})["recipe"].(M)
	c.do("DescribeAlgorithm", M{"algorithmArn": described["algorithmArn"]})
	c.do("DescribeFeatureTransformation", M{"featureTransformationArn": described["featureTransformationArn"]})
	campaigns, solutions := map[string]string{}, map[string]string{}
	var version string
	for _, recipe := range []string{"aws-user-personalization", "aws-personalized-ranking", "aws-next-best-action"} {
		solutions[recipe] = c.make("Solution", "ListSolutions", M{"name": recipe, "datasetGroupArn": h.Group, "recipeArn": recipeARN + recipe, "performAutoTraining": false})
		version = c.make("SolutionVersion", "ListSolutionVersions", M{"solutionArn": solutions[recipe]})
		c.do("GetSolutionMetrics", M{"solutionVersionArn": version})
		campaigns[recipe] = c.make("Campaign", "ListCampaigns", M{"name": recipe, "solutionVersionArn": version})
	}
	c.do("UpdateSolution", M{"solutionArn": solutions["aws-user-personalization"], "performAutoTraining": false})
	settled(h, "solution", solutions["aws-user-personalization"], "latestSolutionUpdate")
	stopped := h.Must("CreateSolutionVersion", M{"solutionArn": solutions["aws-user-personalization"]})["solutionVersionArn"]
	c.do("StopSolutionVersionCreation", M{"solutionVersionArn": stopped})
	h.WatchFor("solutionVersion", stopped.(string), "CREATE STOPPED")
	c.do("UpdateCampaign", M{"campaignArn": campaigns["aws-user-personalization"], "minProvisionedTPS": 2})
	settled(h, "campaign", campaigns["aws-user-personalization"], "latestCampaignUpdate")
	c.do("GetRecommendations", M{"campaignArn": campaigns["aws-user-personalization"], "userId": loyal[0], "filterArn": filter})
	c.do("GetPersonalizedRanking", M{"campaignArn": campaigns["aws-personalized-ranking"], "userId": loyal[0], "inputList": []string{"item-0-1", "item-1-1"}})
	c.do("GetActionRecommendations", M{"campaignArn": campaigns["aws-next-best-action"], "userId": loyal[0]})
	batched := func(kind, recipe, line string) {
		h.Upload(h.Objects, "ask/"+kind, line)
		versions := h.Must("ListSolutionVersions", M{"solutionArn": solutions[recipe]})["solutionVersions"].([]any)
		at := slices.IndexFunc(versions, func(v any) bool { return v.(M)["status"] == "ACTIVE" })
		c.make("Batch"+kind+"Job", "ListBatch"+kind+"Jobs", M{"jobName": kind, "solutionVersionArn": versions[at].(M)["solutionVersionArn"], "roleArn": shop.Role,
			"jobInput": M{"s3DataSource": M{"path": "s3://shop/ask/" + kind}}, "jobOutput": M{"s3DataDestination": M{"path": "s3://shop/results/"}}})
	}
	batched("Inference", "aws-user-personalization", `{"userId":"`+loyal[0]+`"}`)
	solutions["aws-item-affinity"] = h.Solution("aws-item-affinity")
	h.Version(solutions["aws-item-affinity"])
	batched("Segment", "aws-item-affinity", `{"itemId":"item-0-1"}`)
	h.Upload(h.Objects, "forget.csv", "USER_ID\n"+loyal[0]+"\n")
	c.make("DataDeletionJob", "ListDataDeletionJobs", M{"jobName": "forget", "datasetGroupArn": h.Group, "roleArn": shop.Role, "dataSource": M{"dataLocation": "s3://shop/forget.csv"}})

	for _, arn := range campaigns {
		c.do("DeleteCampaign", M{"campaignArn": arn})
	}
	for _, arn := range campaigns {
		h.WatchGone("campaign", arn)
	}
	c.do("DeleteSolution", M{"solutionArn": solutions["aws-next-best-action"]})
	c.do("DeleteFilter", M{"filterArn": filter})
	c.do("DeleteMetricAttribution", M{"metricAttributionArn": attribution})
	c.do("DeleteEventTracker", M{"eventTrackerArn": tracker})
	c.do("DeleteDataset", M{"datasetArn": dataset})
	h.WatchGone("dataset", dataset)
	c.do("DeleteDatasetGroup", M{"datasetGroupArn": spare})
	c.do("DeleteSchema", M{"schemaArn": plain})

	r, _ := domains[0].open(t)
	c.Shop = r
	recommender := c.make("Recommender", "ListRecommenders", M{"name": "r", "datasetGroupArn": r.Group, "recipeArn": recipeARN + "aws-ecomm-popular-items-by-views"})
	self := M{"recommenderArn": recommender}
	c.do("UpdateRecommender", with(self, M{"recommenderConfig": M{"minRecommendationRequestsPerSecond": 2}}))
	settled(r, "recommender", recommender, "latestRecommenderUpdate")
	c.do("StopRecommender", self)
	r.WatchFor("recommender", recommender, "INACTIVE")
	c.do("StartRecommender", self)
	r.WatchFor("recommender", recommender, "ACTIVE")
	c.do("DeleteRecommender", self)

	var supported []string
	operations, _ := compatibility(t)
	for _, o := range operations {
		if o[1] != "yes" {
			t.Errorf("the page says %q of %s, which this test does not understand", o[1], o[0])
		}
		supported = append(supported, o[0])
	}
	slices.Sort(supported)
	if diff := cmp.Diff(supported, slices.Sorted(maps.Keys(c.done))); diff != "" {
		t.Errorf("done are others than the page says (-page +done):\n%s", diff)
	}
}

// What the page says is refused is refused, by the error that it names.
func TestWhatTheCompatibilityPageCallsRefusedIs(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t))
	solution := func(more M) M {
		return with(M{"name": "s", "datasetGroupArn": h.Group, "recipeArn": recipeARN + "aws-user-personalization", "performAutoTraining": false}, more)
	}
	requests := map[string]struct {
		operation string
		in        M
	}{
		"hpoConfig.hpoObjective": {"CreateSolution", solution(M{"performHPO": true, "solutionConfig": M{"hpoConfig": M{"hpoObjective": M{"type": "Maximize", "metricName": "precision_at_5"}}}})},
		"trainingMode AUTOTRAIN": {"CreateSolutionVersion", M{"solutionArn": h.Solution("aws-user-personalization"), "trainingMode": "AUTOTRAIN"}},
		"recipes aws-hrnn...":    {"CreateSolution", solution(M{"recipeArn": recipeARN + "aws-hrnn-metadata"})},
		"http paths": {"CreateDatasetImportJob", M{"jobName": "j", "datasetArn": h.Items, "roleArn": shop.Role,
			"dataSource": M{"dataLocation": "https://shop.s3.amazonaws.com/items.csv"}}},
		"unknown operations": {"CreateDataInsightsJob", M{}},
	}
	_, refused := compatibility(t)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(requests)), slices.Sorted(maps.Keys(refused))); diff != "" {
		t.Errorf("the page has other refusals than this test (-test +page):\n%s", diff)
	}
	for name, code := range refused {
		if message := h.Refused(code, requests[name].operation, requests[name].in); message == "" {
			t.Errorf("%s: no message", name)
		}
	}
}
