package behaviour

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/palate-dev/palate/test/server"
	"github.com/palate-dev/palate/test/shop"
)

// What solutions, trainings, campaigns and batch jobs say when something is wrong, word for word: clients compare these texts, and people act on them. The texts of
// too little data are in TestTooLittleDataFailsWithTheServicesWords, those of a storage that refuses in TestJobsWorkOnAnotherS3, those of imports and deletion lists
// beside their tests.

// A refused call is answered at once and leaves nothing behind.
func TestTheWordsOfRefusedCalls(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t))
	d := shop.Generate(40, 30, 600, 71)
	h.LoadAll(d)
	solution := h.Solution("aws-popularity-count")
	version := h.Version(solution)
	segments := h.Version(h.Solution("aws-item-affinity"))
	campaign := h.Make("CreateCampaign", "campaign", M{"name": "front", "solutionVersionArn": version})
	broken := solutionOf(h, "aws-user-personalization", M{"eventType": "never"})
	failed := h.Must("CreateSolutionVersion", M{"solutionArn": broken})["solutionVersionArn"].(string)
	failure(h, "solutionVersion", failed)
	users := filterOf(h, `INCLUDE UserID WHERE Users.TIER = "gold"`)

	const invalid, absent, taken, inUse = "InvalidInputException", "ResourceNotFoundException", "ResourceAlreadyExistsException", "ResourceInUseException"
	gone := func(arn string) string { return "Resource Arn " + arn + " does not exist." }
	exists := func(arn string) string { return "Another resource with Arn " + arn + " already exists." }
	violation := func(text string) string { return "1 validation error detected: " + text }
	location := func(path string) M { return M{"s3DataSource": M{"path": path}} }
	target := func(path string) M { return M{"s3DataDestination": M{"path": path}} }
	batch := func(more M) M {
		return with(M{"jobName": "job", "solutionVersionArn": version, "roleArn": shop.Role, "jobInput": location("s3://shop/ask.json"), "jobOutput": target("s3://shop/out/")}, more)
	}
	segment := func(more M) M { return batch(with(M{"solutionVersionArn": segments}, more)) }
	create := func(more M) M {
		return with(M{"name": "other", "datasetGroupArn": h.Group, "recipeArn": recipeARN + "aws-user-personalization", "performAutoTraining": false}, more)
	}
	nobody := func(kind string) string { return strings.Replace(campaign, "campaign/front", kind+"/nobody", 1) }
	h.Make("CreateBatchInferenceJob", "batchInferenceJob", batchOver(h, version, "taken", d.Users[0]))

	for _, c := range []struct {
		what, operation string
		in              M
		code, message   string
	}{
		{"no such recipe", "CreateSolution", create(M{"recipeArn": recipeARN + "aws-nothing"}), absent, gone(recipeARN + "aws-nothing")},
		{"no such group", "CreateSolution", create(M{"datasetGroupArn": nobody("dataset-group")}), absent, gone(nobody("dataset-group"))},
		{"a campaign for a group", "CreateSolution", create(M{"datasetGroupArn": campaign}), absent, gone(campaign)},
		{"a text for an ARN", "CreateSolution", create(M{"datasetGroupArn": "shop"}), invalid,
			violation(`Value 'shop' at 'datasetGroupArn' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:([a-z\d-]+):personalize:.*:.*:.+`)},
		{"the same name", "CreateSolution", create(M{"name": solution[strings.LastIndexByte(solution, '/')+1:], "recipeArn": recipeARN + "aws-popularity-count"}), taken, exists(solution)},
		{"a long name", "CreateSolution", create(M{"name": strings.Repeat("n", 64)}), invalid,
			violation("Value '" + strings.Repeat("n", 64) + "' at 'name' failed to satisfy constraint: Member must have length less than or equal to 63")},
		{"two mistakes", "CreateSolution", create(M{"name": strings.Repeat("n", 64), "datasetGroupArn": "shop"}), invalid, ""},
		{"no dataset of actions", "CreateSolution", create(M{"recipeArn": recipeARN + "aws-next-best-action"}), invalid, "Dataset group does not have a dataset of type ACTIONS."},

		{"percentiles with nobody between them", "CreateSolution", create(M{"solutionConfig": M{"featureTransformationParameters": M{"min_user_history_length_percentile": "0.9", "max_user_history_length_percentile": "0.4"}}}), invalid,
			"Invalid hyperparameter: min_user_history_length_percentile must not be greater than max_user_history_length_percentile, which is 0.4."},
		{"a percentile above the usual one", "CreateSolution", create(M{"recipeArn": recipeARN + "aws-sims", "solutionConfig": M{"featureTransformationParameters": M{"min_item_interaction_count_percentile": "0.95"}}}), invalid,
			"Invalid hyperparameter: min_item_interaction_count_percentile must not be greater than max_item_interaction_count_percentile, which is 0.9."},

		{"no such solution", "CreateSolutionVersion", M{"solutionArn": nobody("solution")}, absent, gone(nobody("solution"))},
		{"a campaign for a solution", "CreateSolutionVersion", M{"solutionArn": campaign}, absent, gone(campaign)},
		{"a mode that is none", "CreateSolutionVersion", M{"solutionArn": solution, "trainingMode": "PARTIAL"}, invalid,
			violation("Value 'PARTIAL' at 'trainingMode' failed to satisfy constraint: Member must satisfy enum value set: [FULL, UPDATE, AUTOTRAIN]")},
		{"metrics of a version that failed", "GetSolutionMetrics", M{"solutionVersionArn": failed}, inUse, ""},
		{"stop what is done", "StopSolutionVersionCreation", M{"solutionVersionArn": version}, inUse, ""},

		{"no such version", "CreateCampaign", M{"name": "c", "solutionVersionArn": nobody("solution") + "/01234567"}, absent, gone(nobody("solution") + "/01234567")},
		{"a campaign for a version", "CreateCampaign", M{"name": "c", "solutionVersionArn": campaign}, absent, gone(campaign)},
		{"a version that failed", "CreateCampaign", M{"name": "c", "solutionVersionArn": failed}, invalid, ""},
		{"the same name", "CreateCampaign", M{"name": "front", "solutionVersionArn": version}, taken, exists(campaign)},
		{"TPS of nothing", "CreateCampaign", M{"name": "c", "solutionVersionArn": version, "minProvisionedTPS": 0}, invalid,
			violation("Value '0' at 'minProvisionedTPS' failed to satisfy constraint: Member must have value greater than or equal to 1")},
		{"segments have no campaign", "CreateCampaign", M{"name": "c", "solutionVersionArn": segments}, invalid, "A solution version of recipe aws-item-affinity cannot be deployed in a campaign."},

		{"no input", "CreateBatchInferenceJob", batch(M{"jobInput": location("http://shop")}), invalid, "Invalid S3 input path"},
		{"no output", "CreateBatchInferenceJob", batch(M{"jobOutput": target("https://out/")}), invalid, "Invalid S3 output path"},
		{"no such version", "CreateBatchInferenceJob", batch(M{"solutionVersionArn": nobody("solution") + "/01234567"}), absent, gone(nobody("solution") + "/01234567")},
		{"a version that failed", "CreateBatchInferenceJob", batch(M{"solutionVersionArn": failed}), invalid, ""},
		{"no such filter", "CreateBatchInferenceJob", batch(M{"filterArn": nobody("filter")}), absent, gone(nobody("filter"))},
		{"a filter of users", "CreateBatchInferenceJob", batch(M{"filterArn": users}), invalid, "Filter " + users + " does not select what the job recommends."},
		{"501 results", "CreateBatchInferenceJob", batch(M{"numResults": 501}), invalid, "numResults must be between 0 and 500."},
		{"-1 results", "CreateBatchInferenceJob", batch(M{"numResults": -1}), invalid, "numResults must be between 0 and 500."},
		{"the same name", "CreateBatchInferenceJob", batch(M{"jobName": "taken"}), taken, exists(nobodysJob(campaign, "batch-inference-job/taken"))},
		{"no role", "CreateBatchInferenceJob", batch(M{"roleArn": nil}), invalid, violation("Value null at 'roleArn' failed to satisfy constraint: Member must not be null")},
		{"inference with segments", "CreateBatchInferenceJob", batch(M{"solutionVersionArn": segments}), invalid, "Batch inference is not supported by recipe aws-item-affinity."},
		{"a foreign token", "ListBatchInferenceJobs", M{"nextToken": "foreign"}, "InvalidNextTokenException", ""},

		{"no input", "CreateBatchSegmentJob", segment(M{"jobInput": location("http://shop")}), invalid, "Invalid S3 input path"},
		{"no output", "CreateBatchSegmentJob", segment(M{"jobOutput": target("https://out/")}), invalid, "Invalid S3 output path"},
		{"the input's folder", "CreateBatchSegmentJob", segment(M{"jobOutput": target("s3://shop")}), invalid, "Invalid S3 output path"},
		{"too many results", "CreateBatchSegmentJob", segment(M{"numResults": 5_000_001}), invalid, "numResults must be between 0 and 5000000."},
		{"segments of popularity", "CreateBatchSegmentJob", segment(M{"solutionVersionArn": version}), invalid, "Batch segments are not supported by recipe aws-popularity-count."},
		{"a foreign token", "ListBatchSegmentJobs", M{"nextToken": "foreign"}, "InvalidNextTokenException", ""},
	} {
		_, err := h.Call(c.operation, c.in)
		var e *server.APIError
		switch {
		case !errors.As(err, &e):
			t.Errorf("%s: %s was not refused: %v", c.what, c.operation, err)
		case e.Code != c.code || e.Status != 400 || e.Message == "" || c.message != "" && e.Message != c.message:
			t.Errorf("%s: %s answers %d %s %q, want %s %q", c.what, c.operation, e.Status, e.Code, e.Message, c.code, c.message)
		case c.what == "two mistakes" && (!strings.HasPrefix(e.Message, "2 validation errors detected: ") || strings.Count(e.Message, "; ") != 1):
			t.Errorf("two mistakes: %q", e.Message)
		}
	}
	for operation, want := range map[string]int{"ListSolutions": 3, "ListCampaigns": 1, "ListBatchInferenceJobs": 1, "ListBatchSegmentJobs": 0} {
		for name, list := range h.Must(operation, M{}) {
			if all, ok := list.([]any); ok && len(all) != want {
				t.Errorf("after all refusals there are %d %s, want %d", len(all), name, want)
			}
		}
	}
}

// A refused request is answered with the status of the runtime's protocol, 400 or 404, and with words that name what to change.
func TestTheWordsOfRefusedRequests(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t))
	users := loyalty(t, h)
	h.Load(h.Items, shop.Generate(9, 9, 90, 74).Items)
	campaign := func(recipe string) string {
		return h.Make("CreateCampaign", "campaign", M{"name": recipe, "solutionVersionArn": h.Version(h.Solution(recipe))})
	}
	personal, ranking, related, popular := campaign("aws-user-personalization"), campaign("aws-personalized-ranking"), campaign("aws-sims"), campaign("aws-popularity-count")
	actions := campaign("aws-next-best-action")
	ofItems, ofActions, ofUsers := filterOf(h, `INCLUDE ItemID WHERE Items.PRICE < $P`), filterOf(h, `EXCLUDE ActionID WHERE Actions.VALUE > 8`), filterOf(h, `INCLUDE UserID WHERE Users.TIER IN ("gold")`)
	onUser, onItem := filterOf(h, `EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN (*)`), filterOf(h, `EXCLUDE ItemID WHERE Items.GENRES = CurrentItem.GENRES`)
	other := h.Make("CreateDatasetGroup", "datasetGroup", M{"name": "other"})
	h.Make("CreateDataset", "dataset", M{"name": "other", "datasetType": "Items", "datasetGroupArn": other, "schemaArn": h.Schema("others", shop.ItemsSchema)})
	foreign := h.Make("CreateFilter", "filter", M{"name": "foreign", "datasetGroupArn": other, "filterExpression": `EXCLUDE ItemID WHERE Items.ITEM_ID IN ("a")`})

	const invalid, absent = "InvalidInputException", "ResourceNotFoundException"
	gone := func(arn string) string { return "Resource Arn " + arn + " does not exist." }
	violation := func(text string) string { return "1 validation error detected: " + text }
	type row struct {
		what, operation string
		in              M
		code, message   string
	}
	recommend := func(more M) M { return with(M{"campaignArn": personal, "userId": users[0]}, more) }
	rank := func(more M) M {
		return with(M{"campaignArn": ranking, "userId": users[0], "inputList": []string{"item-0-1"}}, more)
	}
	act := func(more M) M { return with(M{"campaignArn": actions, "userId": users[0]}, more) }
	promoting := func(more M) M {
		p := M{"name": "p", "percentPromotedItems": 10, "filterArn": ofItems, "filterValues": M{"P": "5"}}
		return recommend(M{"promotions": []M{with(p, more)}})
	}
	titles := M{"ITEMS": []string{"TITLE"}}
	const recommendations, personalized, acting = "GetRecommendations", "GetPersonalizedRanking", "GetActionRecommendations"
	rows := []row{
		{"no target", recommendations, recommend(M{"campaignArn": nil}), invalid, "Exactly one of campaignArn and recommenderArn is required."},
		{"two targets", recommendations, recommend(M{"recommenderArn": personal}), invalid, "Exactly one of campaignArn and recommenderArn is required."},
		{"a campaign as recommender", recommendations, M{"recommenderArn": personal, "userId": users[0]}, absent, gone(personal)},
		{"no user", recommendations, recommend(M{"userId": nil}), invalid, "userId is required for recommendations of the recipe aws-user-personalization."},
		{"an empty user", recommendations, recommend(M{"userId": ""}), invalid, "userId is required for recommendations of the recipe aws-user-personalization."},
		{"no item", recommendations, M{"campaignArn": related, "userId": users[0]}, invalid, "itemId is required for recommendations of the recipe aws-sims."},
		{"a ranking", recommendations, recommend(M{"campaignArn": ranking}), invalid, "GetRecommendations does not work with the recipe aws-personalized-ranking. Use GetPersonalizedRanking."},
		{"actions", recommendations, recommend(M{"campaignArn": actions}), invalid, "GetRecommendations does not work with the recipe aws-next-best-action. Use GetActionRecommendations."},
		{"501 results", recommendations, recommend(M{"numResults": 501}), invalid, "numResults must be between 0 and 500."},
		{"-1 results", recommendations, recommend(M{"numResults": -1}), invalid, violation("Value '-1' at 'numResults' failed to satisfy constraint: Member must have value greater than or equal to 0")},
		{"51 results with metadata", recommendations, recommend(M{"numResults": 51, "metadataColumns": titles}), invalid, "numResults must be at most 50 if metadataColumns are requested."},
		{"metadata", recommendations, recommend(M{"metadataColumns": titles}), invalid, "Metadata is not enabled for " + personal + "."},
		{"metadata of users", recommendations, recommend(M{"metadataColumns": M{"USERS": []string{"TIER"}}}), invalid, "metadataColumns can only name columns of ITEMS."},
		{"eleven columns", recommendations, recommend(M{"metadataColumns": M{"ITEMS": strings.Split("abcdefghijk", "")}}), invalid, "metadataColumns can name at most 10 columns."},
		{"a promotion without a share", recommendations, promoting(M{"percentPromotedItems": nil}), invalid, "A promotion needs percentPromotedItems and a filterArn."},
		{"a promotion without a filter", recommendations, promoting(M{"filterArn": nil}), invalid, "A promotion needs percentPromotedItems and a filterArn."},
		{"a promotion of 101 %", recommendations, promoting(M{"percentPromotedItems": 101}), invalid,
			violation("Value '101' at 'promotions.1.member.percentPromotedItems' failed to satisfy constraint: Member must have value less than or equal to 100")},
		{"a promotion of actions", recommendations, promoting(M{"filterArn": ofActions}), invalid, "Filter " + ofActions + " does not select items."},
		{"a promotion without a value", recommendations, promoting(M{"filterValues": nil}), invalid, "filterValues must have a value for P, because the filter includes by it."},
		{"a filter on the user", recommendations, M{"campaignArn": popular, "filterArn": onUser}, invalid, "userId is required, because filter " + onUser + " depends on the user."},
		{"a filter on the item", recommendations, recommend(M{"filterArn": onItem}), invalid, "Filter " + onItem + " refers to CurrentItem, which requests of the recipe aws-user-personalization do not have."},

		{"no item", personalized, rank(M{"inputList": []string{}}), invalid, "inputList must name at least one item."},
		{"an item without an id", personalized, rank(M{"inputList": []string{"item-0-1", ""}}), invalid, "inputList cannot name an item by an empty text."},
		{"501 items", personalized, rank(M{"inputList": slices.Repeat([]string{"i"}, 501)}), invalid, "inputList can name at most 500 items."},
		{"an empty user", personalized, rank(M{"userId": ""}), invalid, "userId is required."},
		{"no user", personalized, rank(M{"userId": nil}), invalid, violation("Value null at 'userId' failed to satisfy constraint: Member must not be null")},
		{"another recipe", personalized, rank(M{"campaignArn": popular}), invalid, "GetPersonalizedRanking does not work with the recipe aws-popularity-count. Use GetRecommendations."},
		{"metadata", personalized, rank(M{"metadataColumns": titles}), invalid, "Metadata is not enabled for " + ranking + "."},

		{"no campaign", acting, act(M{"campaignArn": nil}), invalid, "campaignArn is required."},
		{"no user", acting, act(M{"userId": nil}), invalid, "userId is required."},
		{"101 actions", acting, act(M{"numResults": 101}), invalid, "numResults must be between 0 and 100."},
		{"another recipe", acting, act(M{"campaignArn": ranking}), invalid, "GetActionRecommendations does not work with the recipe aws-personalized-ranking. Use GetPersonalizedRanking."},
		{"a filter of items", acting, act(M{"filterArn": ofItems}), invalid, "Filter " + ofItems + " does not select actions."},
	}
	for _, each := range []struct {
		operation string
		request   func(M) M
	}{{recommendations, recommend}, {personalized, rank}, {acting, act}} {
		arn := each.request(nil)["campaignArn"].(string)
		rows = append(rows,
			row{"a text for an ARN", each.operation, each.request(M{"campaignArn": "front"}), invalid,
				violation(`Value 'front' at 'campaignArn' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:([a-z\d-]+):personalize:.*:.*:.+`)},
			row{"no such campaign", each.operation, each.request(M{"campaignArn": arn + "x"}), absent, gone(arn + "x")},
			row{"another region", each.operation, each.request(M{"campaignArn": strings.Replace(arn, "us-east-1", "eu-west-1", 1)}), absent, gone(strings.Replace(arn, "us-east-1", "eu-west-1", 1))},
			row{"a filter for a campaign", each.operation, each.request(M{"campaignArn": ofItems}), absent, gone(ofItems)},
			row{"a long user", each.operation, each.request(M{"userId": strings.Repeat("x", 257)}), invalid,
				violation("Value at 'userId' failed to satisfy constraint: Member must have length less than or equal to 256")},
			row{"no such filter", each.operation, each.request(M{"filterArn": foreign + "x"}), absent, gone(foreign + "x")},
			row{"a filter of another group", each.operation, each.request(M{"filterArn": foreign}), invalid, "Filter " + foreign + " belongs to another dataset group than " + arn + "."},
			row{"a filter of users", each.operation, each.request(M{"filterArn": ofUsers}), invalid, "Filter " + ofUsers + " does not select " + map[bool]string{false: "items", true: "actions"}[each.operation == acting] + "."},
			row{"values of no filter", each.operation, each.request(M{"filterValues": M{"P": "1"}}), invalid, "filterValues need a filterArn."},
		)
		if each.operation == acting {
			continue
		}
		for value, message := range map[string]string{
			"":        "filterValues must have a value for P, because the filter includes by it.",
			"much":    "filterValues must have numbers for P, because the filter compares a number with it.",
			`"1","2"`: "filterValues must have one value for P, because the filter compares with it by <.",
			`"1`:      "The value of P in filterValues has a string that is not closed.",
			`"1" "2"`: "The value of P in filterValues has strings without a comma between them.",
			`"1",`:    "The value of P in filterValues has a comma without a string in quotes behind it.",
			`1"`:      "The value of P in filterValues has a quote in the middle of a string.",
		} {
			rows = append(rows, row{"the value " + value, each.operation, each.request(M{"filterArn": ofItems, "filterValues": M{"P": value}}), invalid, message})
		}
	}
	for _, c := range rows {
		_, err := h.Call(c.operation, c.in)
		status := map[string]int{invalid: 400, absent: 404}[c.code]
		if e := (*server.APIError)(nil); !errors.As(err, &e) || e.Code != c.code || e.Status != status || e.Message != c.message {
			t.Errorf("%s: %s answers %v, want %d %s %q", c.what, c.operation, err, status, c.code, c.message)
		}
	}
}

// nobodysJob puts another resource into an ARN of a campaign.
func nobodysJob(campaign, resource string) string {
	return campaign[:strings.LastIndexByte(campaign, ':')+1] + resource
}

// batchOver is the request for an inference job with one line.
func batchOver(h *shop.Shop, version, name, user string) M {
	h.T.Helper()
	h.Upload(h.Objects, "one/"+name+".json", fmt.Sprintf(`{"userId":%q}`, user))
	return M{"jobName": name, "solutionVersionArn": version, "roleArn": shop.Role, "jobInput": M{"s3DataSource": M{"path": "s3://shop/one/" + name + ".json"}},
		"jobOutput": M{"s3DataDestination": M{"path": "s3://shop/two/"}}}
}

// A job that cannot be done ends as CREATE FAILED and says why.
func TestTheWordsOfBatchJobsThatFail(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t, "--limits", "aws"))
	d := shop.Generate(40, 30, 1200, 72)
	h.LoadAll(d)
	popular := h.Version(h.Solution("aws-popularity-count"))
	byItem, byAttributes := h.Version(h.Solution("aws-item-affinity")), h.Version(h.Solution("aws-item-attribute-affinity"))
	line := fmt.Sprintf("{\"userId\":%q}\n", d.Users[0])
	for key, text := range map[string]string{
		"bad.json": "nonsense\n[1]\n{\"userId\":\"\"}\n", "empty.json": "", "blank.json": "\n \n", "twins/a/x.json": line, "twins/b/x.json": line,
		"long.json": line + `{"userId":"` + strings.Repeat("x", 1<<20) + `"}`, "501.json": strings.Repeat("{\"itemId\":\"item-0001\"}\n", 501),
		"11.json": strings.Repeat(`{"itemAttributes":"ITEMS.GENRES = \"all\""}`+"\n", 11), "one.json": line,
		"500.json": strings.Repeat("{\"itemId\":\"item-0001\"}\n", 500), "10.json": strings.Repeat(`{"itemAttributes":"ITEMS.GENRES = \"all\""}`+"\n", 10),
	} {
		h.Upload(h.Objects, "words/"+key, text)
	}
	const denied = "Insufficient privileges for accessing data in Amazon S3."
	const nothing = "No line of the input could be answered: each line must be a JSON object with userId. The output says what is wrong with each line."
	for _, c := range []struct{ what, kind, version, input, output, want string }{
		{"a folder without objects", shop.Inference, popular, "s3://shop/words/none/", "", "The specified Amazon S3 location does not contain any input."},
		{"an object that is not there", shop.Inference, popular, "s3://shop/words/none.json", "", "The specified Amazon S3 location does not contain any input."},
		{"a bucket that is not there", shop.Inference, popular, "s3://no-such-bucket/in.json", "", denied + " The bucket does not exist."},
		{"an output that is not there", shop.Inference, popular, "s3://shop/words/one.json", "s3://no-such-bucket/out/", denied + " The bucket does not exist."},
		{"results of one name", shop.Inference, popular, "s3://shop/words/twins/", "", "The input objects words/twins/a/x.json and words/twins/b/x.json have the same name, which their results would have too."},
		{"no good line", shop.Inference, popular, "s3://shop/words/bad.json", "", nothing},
		{"no byte", shop.Inference, popular, "s3://shop/words/empty.json", "", nothing},
		{"no line", shop.Inference, popular, "s3://shop/words/blank.json", "", nothing},
		{"a long line", shop.Inference, popular, "s3://shop/words/long.json", "", "A line of the input is longer than 1048576 bytes."},
		{"501 items", shop.Segment, byItem, "s3://shop/words/501.json", "", "An input object has more than 500 lines."},
		{"500 items", shop.Segment, byItem, "s3://shop/words/500.json", "", ""},
		{"11 queries", shop.Segment, byAttributes, "s3://shop/words/11.json", "", "An input object has more than 10 lines."},
		{"10 queries", shop.Segment, byAttributes, "s3://shop/words/10.json", "", ""},
		{"a segment of no item", shop.Segment, byItem, "s3://shop/words/one.json", "", strings.Replace(nothing, "userId", "itemId", 1)},
		{"a bucket that is not there", shop.Segment, byItem, "s3://no-such-bucket/in.json", "", denied + " The bucket does not exist."},
	} {
		more := M{"jobInput": M{"s3DataSource": M{"path": c.input}}}
		if c.output != "" {
			more["jobOutput"] = M{"s3DataDestination": M{"path": c.output}}
		}
		arn, folder := h.StartBatch(c.kind, c.version, "", more)
		d := h.Wait("batch"+c.kind+"Job", arn)
		reason, _ := d["failureReason"].(string)
		if status := d["status"]; reason != c.want || (status == "CREATE FAILED") != (c.want != "") {
			t.Errorf("%s: %v, %q, want %q", c.what, status, reason, c.want)
		}
		if c.what == "a long line" && len(h.Download(h.Objects, folder+"long.json.out")) > 0 {
			t.Error("a job that failed has left a part of a result")
		}
	}
}

// What a training lacks that was there when its solution was created, and what only the data show.
func TestTheWordsOfTrainingsThatFail(t *testing.T) {
	t.Parallel()
	h := shop.New(t, start(t), "words", "")
	h.Interactions = h.Dataset("Interactions", shop.InteractionsSchema)
	train := func(solution string) string {
		t.Helper()
		return failure(h, "solutionVersion", h.Must("CreateSolutionVersion", M{"solutionArn": solution})["solutionVersionArn"].(string))
	}
	items := h.Dataset("Items", filmSchema)
	named, attributes, segments := h.Solution("aws-semantic-similarity"), h.Solution("aws-item-attribute-affinity"), h.Solution("aws-item-affinity")
	h.Load(h.Interactions, rows(1200, func(_ int, row []string) { row[2] = "7" }))
	if reason := train(segments); reason != "All interactions have the same timestamp." {
		t.Errorf("segments at one moment: %q", reason)
	}
	h.Load(h.Interactions, rows(1200, func(_ int, row []string) { row[3] = "EVENT_TYPE" }))
	for _, config := range []M{nil, {"eventType": "view"}} {
		if reason := train(solutionOf(h, "aws-user-personalization", config)); reason != "All values in the event_type column are either reserved keywords or null" {
			t.Errorf("keywords for types: %q", reason)
		}
	}
	h.Load(h.Interactions, rows(1200, func(int, []string) {}))
	if reason := train(named); reason != "Items dataset has no items with a name or a description." {
		t.Errorf("no names: %q", reason)
	}
	for what, c := range map[string]struct {
		config M
		want   string
	}{
		"a type that never comes":       {M{"eventType": "Never"}, "Dataset has fewer than 1 interactions after filtering by event type: Never"},
		"a value that is never reached": {M{"solutionConfig": M{"eventValueThreshold": "7"}}, "Dataset has fewer than 1 interactions"},
	} {
		if reason := train(solutionOf(h, "aws-sims", c.config)); reason != c.want {
			t.Errorf("%s: %q, want %q", what, reason, c.want)
		}
	}
	h.Must("DeleteDataset", M{"datasetArn": items})
	h.WatchGone("dataset", items)
	for _, solution := range []string{named, attributes} {
		if reason := train(solution); reason != "Dataset group does not have a dataset of type ITEMS." {
			t.Errorf("without the dataset: %q", reason)
		}
	}
	h.Must("DeleteDataset", M{"datasetArn": h.Interactions})
	h.WatchGone("dataset", h.Interactions)
	if reason := train(segments); reason != "Dataset group does not have a dataset of type INTERACTIONS." {
		t.Errorf("without any dataset: %q", reason)
	}
}

// A training that can never have the memory that it needs fails at once and says how much that is; smaller ones are trained as ever.
func TestATrainingThatCannotFitSaysWhatItNeeds(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t, "--training-memory", "70MiB"))
	h.Load(h.Interactions, shop.Generate(400, 1000, 12000, 73).Interactions)
	large := h.Must("CreateSolutionVersion", M{"solutionArn": h.Solution("aws-user-personalization")})["solutionVersionArn"].(string)
	reason := failure(h, "solutionVersion", large)
	if !strings.HasPrefix(reason, "Training on 12000 interactions") || !strings.Contains(reason, " of memory, but all trainings together may take 70 MiB. Start palate with a larger --training-memory, or train on less.") {
		t.Errorf("a training without memory: %q", reason)
	}
	h.Version(h.Solution("aws-popularity-count"))
	if n := len(h.ModelDirs()); n != 1 {
		t.Errorf("%d model directories of one training that could be and one that could not", n)
	}
}
