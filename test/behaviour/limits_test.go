package behaviour

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/palate-dev/palate/test/shop"
)

const (
	tooManyActive  = "More than %d resources in ACTIVE state. Please delete some and try again."
	tooManyPending = "More than %d resources with PENDING or IN_PROGRESS status."
)

// full asserts that a quota is exceeded and that the refused call has left nothing behind.
func full(t *testing.T, h *shop.Shop, text string, limit int, operation string, in M) {
	t.Helper()
	for range 2 { // the second one would find what the first one left
		if m := h.Refused("LimitExceededException", operation, in); m != fmt.Sprintf(text, limit) {
			t.Errorf("%s: %q", operation, m)
		}
	}
}

func TestTheServicesQuotasOfResourcesHoldUnderItsLimits(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t, "--limits", "aws"))
	h.Load(h.Interactions, shop.Generate(60, 40, 1200, 31).Interactions)

	t.Run("dataset groups", func(t *testing.T) {
		var last string
		for n := range 4 {
			last = h.Make("CreateDatasetGroup", "datasetGroup", M{"name": fmt.Sprint("group-", n)})
		}
		full(t, h, tooManyActive, 5, "CreateDatasetGroup", M{"name": "sixth"})
		h.Must("DeleteDatasetGroup", M{"datasetGroupArn": last})
		h.WatchGone("datasetGroup", last)
		h.Make("CreateDatasetGroup", "datasetGroup", M{"name": "sixth"})
	})
	t.Run("schemas", func(t *testing.T) {
		for n := range 500 - 3 {
			h.Schema(fmt.Sprint("schema-", n), shop.UsersSchema)
		}
		full(t, h, "More than %d resources in ACTIVE state. Please delete some and try again.", 500, "CreateSchema", M{"name": "one-too-many", "schema": shop.UsersSchema})
	})
	t.Run("filters and their fields", func(t *testing.T) {
		filter := func(n int) M {
			return M{"name": fmt.Sprint("filter-", n), "datasetGroupArn": h.Group, "filterExpression": `EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("view")`}
		}
		for n := range 30 {
			h.Must("CreateFilter", filter(n))
		}
		full(t, h, tooManyActive, 30, "CreateFilter", filter(30))
	})
	t.Run("solutions and campaigns", func(t *testing.T) {
		solution := func(n int) M {
			return M{"name": fmt.Sprint("solution-", n), "datasetGroupArn": h.Group, "recipeArn": recipeARN + "aws-popularity-count", "performAutoTraining": false}
		}
		var first string
		for n := range 10 {
			arn := h.Make("CreateSolution", "solution", solution(n))
			if n == 0 {
				first = arn
			}
		}
		full(t, h, tooManyActive, 10, "CreateSolution", solution(10))
		version := h.Version(first)
		campaign := func(n int) M { return M{"name": fmt.Sprint("campaign-", n), "solutionVersionArn": version} }
		for n := range 5 {
			h.Make("CreateCampaign", "campaign", campaign(n))
		}
		full(t, h, tooManyActive, 5, "CreateCampaign", campaign(5))
	})
	t.Run("tags", func(t *testing.T) {
		var tags []M
		for n := range 51 {
			tags = append(tags, M{"tagKey": fmt.Sprint("k", n), "tagValue": ""})
		}
		h.Must("TagResource", M{"resourceArn": h.Group, "tags": tags[:50]})
		h.Refused("TooManyTagsException", "TagResource", M{"resourceArn": h.Group, "tags": tags[50:]})
		h.Must("TagResource", M{"resourceArn": h.Group, "tags": tags[:1]})
	})
}

func TestTheServicesQuotasOfRunningJobsHoldUnderItsLimits(t *testing.T) {
	t.Parallel()
	s := start(t, "--limits", "aws")
	hold := func(d string) { // whether jobs that are created from here on are still running later
		t.Helper()
		s.Stop()
		s.Args("--hold", d)
		s.Restart()
	}
	first := shop.Open(t, s)
	rows := shop.Generate(60, 40, 1200, 32)
	first.Load(first.Interactions, rows.Interactions)
	second := shop.New(t, s, "second", "")
	var arns []string
	for kind, text := range map[string]string{"Interactions": shop.InteractionsSchema, "Items": shop.ItemsSchema, "Users": shop.UsersSchema} {
		name := strings.ToLower(kind)
		arns = append(arns, s.Must("CreateDataset", M{"name": name, "datasetType": kind, "schemaArn": second.Schema(name+"2", text), "datasetGroupArn": second.Group})["datasetArn"].(string))
	}
	solution := solutionOf(first, "aws-popularity-count", nil)
	for _, arn := range arns {
		s.Wait("dataset", arn)
	}
	popular, segments := first.Version(solution), first.Version(solutionOf(first, "aws-item-affinity", nil))
	first.Upload(first.Objects, "x.csv", "")
	job := func(name, arn string) M {
		return M{"jobName": name, "datasetArn": arn, "roleArn": shop.Role, "dataSource": M{"dataLocation": "s3://shop/x.csv"}}
	}
	arns = append(arns, first.Interactions, first.Items, first.People)
	hold("1h")
	var running []string
	for n, arn := range arns[:5] {
		running = append(running, s.Must("CreateDatasetImportJob", job(fmt.Sprint("job-", n), arn))["datasetImportJobArn"].(string))
	}
	full(t, first, tooManyPending, 5, "CreateDatasetImportJob", job("sixth", arns[5]))
	if m := first.Refused("ResourceInUseException", "CreateDatasetImportJob", job("again", arns[0])); !strings.Contains(m, running[0]) {
		t.Errorf("a second import into a dataset: %q", m)
	}
	hold("0s")
	for _, arn := range running {
		failure(first, "datasetImportJob", arn) // the object is empty
	}
	first.StartImportOf(arns[5], "x.csv", "FULL")

	hold("1h")
	for range 20 {
		first.Must("CreateSolutionVersion", M{"solutionArn": solution})
	}
	full(t, first, tooManyPending, 20, "CreateSolutionVersion", M{"solutionArn": solution})

	for kind, version := range map[string]string{"CreateBatchInferenceJob": popular, "CreateBatchSegmentJob": segments} {
		batch := func(n int) M {
			return M{"jobName": fmt.Sprint("job-", n), "solutionVersionArn": version, "roleArn": shop.Role, "jobInput": M{"s3DataSource": M{"path": "s3://shop/x.csv"}},
				"jobOutput": M{"s3DataDestination": M{"path": "s3://shop/out/"}}}
		}
		for n := range 5 {
			first.Must(kind, batch(n))
		}
		full(t, first, tooManyPending, 5, kind, batch(6))
	}
}

func TestFiveRecommendersFillAGroupUnderTheServicesLimits(t *testing.T) {
	t.Parallel()
	h := shop.New(t, start(t, "--limits", "aws"), "domain", "ECOMMERCE")
	h.Interactions = h.Dataset("Interactions", domains[0].interactions)
	request := func(n int) M {
		return M{"name": fmt.Sprint("r", n), "datasetGroupArn": h.Group, "recipeArn": recipeARN + "aws-ecomm-popular-items-by-views"}
	}
	arn := h.Must("CreateRecommender", request(0))["recommenderArn"].(string)
	if reason := failure(h, "recommender", arn); reason != "Dataset has fewer than 1000 interactions after filtering by event type: View" {
		t.Errorf("a recommender without data: %q", reason)
	}
	h.Load(h.Interactions, kinds(shop.Generate(60, 40, 1200, 34).Interactions, "view"))
	for n := range 5 { // the failed one does not count
		h.Make("CreateRecommender", "recommender", request(n+1))
	}
	full(t, h, tooManyActive, 5, "CreateRecommender", request(6))
}

// kinds gives rows of an Interactions dataset of four columns one event type after the other.
func kinds(rows [][]string, types ...string) [][]string {
	out := [][]string{{"USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE"}}
	for i, row := range rows[1:] {
		out = append(out, []string{row[0], row[1], row[2], types[i%len(types)]})
	}
	return out
}

func TestTooLittleDataFailsWithTheServicesWords(t *testing.T) {
	t.Parallel()
	s := start(t, "--limits", "aws")
	h := shop.New(t, s, "few", "")
	h.Interactions = h.Dataset("Interactions", domains[0].interactions)
	all := shop.Generate(60, 40, 1100, 33).Interactions
	if reason := failure(h, "datasetImportJob", h.StartImport(h.Interactions, kinds(all[:1000], "view"), "FULL")); reason != "Input CSV has fewer than 1000 interactions." {
		t.Errorf("999 rows: %q", reason)
	}
	equalRows(t, "dataset after the failure", kinds(all[:1]), h.Export(h.Interactions, "ALL"))

	train := func(config M, rows [][]string) string {
		t.Helper()
		h.Load(h.Interactions, rows)
		solution := solutionOf(h, "aws-user-personalization", config)
		arn := h.Must("CreateSolutionVersion", M{"solutionArn": solution})["solutionVersionArn"].(string)
		reason := failure(h, "solutionVersion", arn)
		h.Refused("ResourceInUseException", "GetSolutionMetrics", M{"solutionVersionArn": arn})
		h.Refused("InvalidInputException", "CreateCampaign", M{"name": "never", "solutionVersionArn": arn})
		h.Must("DeleteSolution", M{"solutionArn": solution})
		return reason
	}
	fewUsers, oneEach := [][]string{all[0]}, [][]string{all[0]}
	for i := range 1100 {
		row := slices.Clone(all[1+i%(len(all)-1)])
		row[2] = fmt.Sprint(1_700_000_000 + i)
		once := slices.Clone(row)
		row[0] = fmt.Sprint("canary-", i%24)
		fewUsers = append(fewUsers, row)
		if i < 50 {
			once[0] = fmt.Sprint("canary-", i%25)
		} else {
			once[0] = fmt.Sprint("canary-once-", i)
		}
		oneEach = append(oneEach, once)
	}
	manyOnce := slices.Clone(oneEach)
	for i := range 2000 {
		row := slices.Clone(oneEach[60])
		row[0] = fmt.Sprint("canary-more-", i)
		manyOnce = append(manyOnce, row)
	}
	eleven := strings.Split("abcdefghijk", "")
	for _, c := range []struct {
		name   string
		config M
		rows   [][]string
		want   string
	}{
		{"of the type", M{"eventType": "buy"}, kinds(all, "view", "buy"), "Dataset has fewer than 1000 interactions after filtering by event type: buy"},
		{"users", nil, kinds(fewUsers, "view"), "Dataset has fewer than 25 users with at least 2 interactions each."},
		{"share of users", nil, kinds(manyOnce, "view"), "Less than 1 percent of users have at least 2 interactions."},
		{"types", nil, kinds(all, eleven...), "Interactions dataset has more than 10 unique event types."},
	} {
		if reason := train(c.config, c.rows); reason != c.want {
			t.Errorf("%s: %q, want %q", c.name, reason, c.want)
		}
	}
	h.Load(h.Interactions, kinds(oneEach, "view"))
	h.Version(solutionOf(h, "aws-user-personalization", nil)) // 25 users and just over one percent are enough
	h.Load(h.Interactions, kinds(all, "View", "vIEW"))
	h.Version(solutionOf(h, "aws-popularity-count", M{"eventType": "view"})) // types compare ignoring case
}

func TestWithoutTheServicesLimitsLittleIsEnough(t *testing.T) {
	t.Parallel()
	h := shop.New(t, start(t), "tiny", "")
	h.Interactions = h.Dataset("Interactions", domains[0].interactions)
	solution := solutionOf(h, "aws-user-personalization-v2", nil)
	arn := h.Must("CreateSolutionVersion", M{"solutionArn": solution})["solutionVersionArn"].(string)
	if reason := failure(h, "solutionVersion", arn); reason != "Dataset has fewer than 1 interactions" {
		t.Errorf("no data at all: %q", reason)
	}
	h.Load(h.Interactions, [][]string{{"USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE"}, {"canary-1", "i1", "1", "v"}})
	campaign := h.Make("CreateCampaign", "campaign", M{"name": "tiny", "solutionVersionArn": h.Version(solution)})
	for _, user := range []string{"canary-1", "canary-2"} {
		if got := h.Recommend(campaign, user, 5); !slices.Equal(got, []string{"i1"}) {
			t.Errorf("recommendations are %v", got)
		}
	}
}
