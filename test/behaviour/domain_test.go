package behaviour

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/test/shop"
)

// A domain is what a Domain dataset group of it looks like: the default schemas, and its use cases.
type domain struct {
	name                       string
	interactions, users, items string
	user, item                 func(n int) []string // rows
	seen, done                 string               // event types: what everybody does, and what the automatic exclusion looks at
	trained, related           []string             // use cases; related are those that ask for an item
	excluding                  string               // the one that leaves out what was done already
}

var domains = []domain{{
	name:         "ECOMMERCE",
	interactions: schema("Interactions", "USER_ID string", "ITEM_ID string", "TIMESTAMP long", "EVENT_TYPE string"),
	users:        schema("Users", "USER_ID string", "MEMBERSHIP_STATUS string categorical"),
	items:        schema("Items", "ITEM_ID string", "PRICE float", "CATEGORY_L1 string categorical"),
	user:         func(n int) []string { return []string{"gold"} },
	item:         func(n int) []string { return []string{fmt.Sprint(n), fmt.Sprintf("taste-%d", n%4)} },
	seen:         "View", done: "Purchase",
	trained:   []string{"aws-ecomm-popular-items-by-views", "aws-ecomm-popular-items-by-purchases", "aws-ecomm-recommended-for-you"},
	related:   []string{"aws-ecomm-frequently-bought-together", "aws-ecomm-customers-who-viewed-x-also-viewed"},
	excluding: "aws-ecomm-recommended-for-you",
}, {
	name:         "VIDEO_ON_DEMAND",
	interactions: schema("Interactions", "USER_ID string", "ITEM_ID string", "TIMESTAMP long", "EVENT_TYPE string"),
	users:        schema("Users", "USER_ID string", "SUBSCRIPTION_MODEL string categorical"),
	items:        schema("Items", "ITEM_ID string", "GENRES string categorical", "CREATION_TIMESTAMP long"),
	user:         func(n int) []string { return []string{"basic"} },
	item:         func(n int) []string { return []string{fmt.Sprintf("taste-%d|all", n%4), fmt.Sprint(1_600_000_000 + n)} },
	seen:         "Click", done: "Watch",
	trained:   []string{"aws-vod-most-popular", "aws-vod-top-picks"},
	related:   []string{"aws-vod-because-you-watched-x", "aws-vod-more-like-x"},
	excluding: "aws-vod-top-picks",
}}

// open makes a Domain dataset group with the default schemas, and fills it: every third event is a done one.
func (d domain) open(t *testing.T, args ...string) (*shop.Shop, [][]string) {
	t.Helper()
	h := shop.New(t, start(t, args...), "domain", d.name)
	h.Interactions, h.People, h.Items = h.Dataset("Interactions", d.interactions), h.Dataset("Users", d.users), h.Dataset("Items", d.items)
	made := shop.Generate(60, 40, 1800, 21)
	events := [][]string{{"USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE"}}
	for i, row := range made.Interactions[1:] {
		kind := d.seen
		if i%3 == 0 {
			kind = d.done
		}
		events = append(events, []string{row[0], row[1], row[2], kind})
	}
	h.Load(h.Interactions, events)
	users, items := [][]string{headerOf(d.users)}, [][]string{headerOf(d.items)}
	for n, user := range made.Users {
		users = append(users, append([]string{user}, d.user(n)...))
	}
	for n, item := range made.Items[1:] {
		items = append(items, append([]string{item[0]}, d.item(n)...))
	}
	h.Load(h.People, users)
	h.Load(h.Items, items)
	return h, events
}

// headerOf names the fields of a schema.
func headerOf(text string) (names []string) {
	for _, part := range strings.Split(text, `{"name":"`)[1:] {
		names = append(names, part[:strings.IndexByte(part, '"')])
	}
	return names
}

const recipeARN = "arn:aws:personalize:::recipe/"

// ask gets recommendations from a recommender, which never have scores.
func ask(h *shop.Shop, recommender, user string) (items []string) {
	h.T.Helper()
	out := h.Must("GetRecommendations", M{"recommenderArn": recommender, "userId": user, "numResults": 40})
	for _, x := range out["itemList"].([]any) {
		item := x.(M)
		if _, scored := item["score"]; scored {
			h.T.Error("a recommender answers with a score")
		}
		items = append(items, item["itemId"].(string))
	}
	return items
}

// itemsOf are the items that a user did something to, or everybody if user is "".
func itemsOf(events [][]string, user, kind string) (items []string) {
	for _, e := range events[1:] {
		if (user == "" || e[0] == user) && e[3] == kind {
			items = append(items, e[1])
		}
	}
	return items
}

func TestUseCasesOfBothDomainsTrainAndServe(t *testing.T) {
	t.Parallel()
	for _, d := range domains {
		t.Run(d.name, func(t *testing.T) {
			h, events := d.open(t)
			user := events[1][0]
			for _, name := range d.trained {
				arn := h.Make("CreateRecommender", "recommender", M{"name": name, "datasetGroupArn": h.Group, "recipeArn": recipeARN + name})
				described, err := h.Describe("recommender", arn)
				if err != nil {
					t.Fatal(err)
				}
				metrics, _ := described["modelMetrics"].(M)
				for _, metric := range []string{"coverage", "precision_at_10", "mean_reciprocal_rank_at_25", "normalized_discounted_cumulative_gain_at_5"} {
					if _, ok := metrics[metric]; !ok {
						t.Errorf("%s: modelMetrics %v have no %s", name, metrics, metric)
					}
				}
				if described["recipeArn"] != recipeARN+name || described["datasetGroupArn"] != h.Group {
					t.Errorf("%s is described as %v", name, described)
				}
				if m := h.Refused("InvalidInputException", "GetRecommendations", M{"recommenderArn": arn}); !strings.Contains(m, "userId is required") {
					t.Errorf("%s without a user: %q", name, m)
				}
				answer := ask(h, arn, user)
				if name != d.excluding && len(answer) < 30 {
					t.Errorf("%s answers %d items only", name, len(answer))
				}
				checkPopular(t, name, events, answer)
			}
			for _, name := range d.related {
				checkRelated(t, h, d, events, name)
			}
			checkExclusion(t, h, d, events)
		})
	}
}

// checkPopular holds the answers of the popularity use cases to a count of the events.
func checkPopular(t *testing.T, name string, events [][]string, answer []string) {
	t.Helper()
	kind := map[string]string{"aws-ecomm-popular-items-by-views": "View", "aws-ecomm-popular-items-by-purchases": "Purchase", "aws-vod-most-popular": "Watch"}[name]
	if kind == "" {
		return
	}
	count, counted := map[string]int{}, map[[2]string]bool{}
	for _, e := range events[1:] {
		if e[3] != kind || name == "aws-vod-most-popular" && counted[[2]string{e[0], e[1]}] {
			continue
		}
		counted[[2]string{e[0], e[1]}] = true
		count[e[1]]++
	}
	if !slices.IsSortedFunc(answer, func(a, b string) int { return count[b] - count[a] }) {
		t.Errorf("%s does not answer in order of its count: %v", name, answer)
	}
	if len(answer) > 0 && count[answer[0]] != slices.Max(slices.Collect(maps.Values(count))) {
		t.Errorf("%s does not begin with the most popular item", name)
	}
}

// checkExclusion asks for a user who purchased or watched items before the training, and then once more.
func checkExclusion(t *testing.T, h *shop.Shop, d domain, events [][]string) {
	t.Helper()
	arn := strings.Replace(h.Group, ":dataset-group/domain", ":recommender/"+d.excluding, 1)
	user := events[1][0]
	before := ask(h, arn, user)
	for _, done := range itemsOf(events, user, d.done) {
		if slices.Contains(before, done) {
			t.Errorf("%s recommends %s, which the user has an event %s with", d.excluding, done, d.done)
		}
	}
	tracking := h.Tracker()
	next := before[0]
	event := func(kind string) {
		h.Must("PutEvents", M{"trackingId": tracking, "userId": user, "sessionId": "canary-s", "eventList": []M{{"eventType": kind, "itemId": next, "sentAt": 2_000_000_000}}})
	}
	event(d.seen)
	if !slices.Contains(ask(h, arn, user), next) {
		t.Errorf("%s leaves %s out after no more than an event %s", d.excluding, next, d.seen)
	}
	event(strings.ToUpper(d.done))
	if slices.Contains(ask(h, arn, user), next) {
		t.Errorf("%s recommends an item that was just done", d.excluding)
	}
	if !slices.Contains(ask(h, arn, "canary-stranger"), next) {
		t.Errorf("%s leaves the item out for others too", d.excluding)
	}
}

func TestARecommenderGoesThroughEveryStatus(t *testing.T) {
	t.Parallel()
	d := domains[0]
	h, _ := d.open(t, "--hold", "200ms")
	arn := h.Must("CreateRecommender", M{"name": "r", "datasetGroupArn": h.Group, "recipeArn": recipeARN + d.excluding,
		"recommenderConfig": M{"minRecommendationRequestsPerSecond": 2, "itemExplorationConfig": M{"explorationWeight": "0"}}})["recommenderArn"].(string)
	self := M{"recommenderArn": arn}
	question := M{"recommenderArn": arn, "userId": "canary-x"}
	h.Refused("InvalidInputException", "GetRecommendations", question)
	h.Refused("ResourceInUseException", "StopRecommender", self)
	h.Refused("ResourceInUseException", "DeleteRecommender", self)
	if early, err := h.Describe("recommender", arn); err != nil || early["modelMetrics"] != nil {
		t.Errorf("while it is created it is described as %v (%v)", early, err)
	}
	seen, made := h.Watch("recommender", arn)
	steps(t, seen, "CREATE PENDING", "CREATE IN_PROGRESS", "ACTIVE")
	if diff := cmp.Diff(M{"minRecommendationRequestsPerSecond": 2.0, "itemExplorationConfig": M{"explorationWeight": "0"}}, made["recommenderConfig"]); diff != "" {
		t.Errorf("recommenderConfig:\n%s", diff)
	}
	answer := ask(h, arn, "canary-x")
	h.Refused("ResourceInUseException", "StartRecommender", self)

	h.Must("StopRecommender", self)
	seen, _ = h.WatchFor("recommender", arn, "INACTIVE")
	steps(t, seen, "STOP PENDING", "STOP IN_PROGRESS", "INACTIVE")
	if m := h.Refused("InvalidInputException", "GetRecommendations", question); !strings.Contains(m, "INACTIVE") {
		t.Errorf("a stopped recommender answers %q", m)
	}
	h.Refused("ResourceInUseException", "StopRecommender", self)
	h.Must("StartRecommender", self)
	seen, _ = h.WatchFor("recommender", arn, "ACTIVE")
	steps(t, seen, "START PENDING", "START IN_PROGRESS", "ACTIVE")
	if diff := cmp.Diff(answer, ask(h, arn, "canary-x")); diff != "" {
		t.Errorf("started again it answers otherwise:\n%s", diff)
	}

	config := M{"minRecommendationRequestsPerSecond": 5.0, "enableMetadataWithRecommendations": true}
	h.Must("UpdateRecommender", M{"recommenderArn": arn, "recommenderConfig": config})
	h.Refused("ResourceInUseException", "UpdateRecommender", M{"recommenderArn": arn, "recommenderConfig": config})
	h.Refused("ResourceInUseException", "DeleteRecommender", self)
	updated := settled(h, "recommender", arn, "latestRecommenderUpdate")
	if diff := cmp.Diff(config, updated["recommenderConfig"]); diff != "" {
		t.Errorf("recommenderConfig after the update:\n%s", diff)
	}
	out := h.Must("GetRecommendations", M{"recommenderArn": arn, "userId": "canary-x", "numResults": 1, "metadataColumns": M{"ITEMS": []string{"CATEGORY_L1", "PRICE"}}})
	metadata, _ := out["itemList"].([]any)[0].(M)["metadata"].(M)
	if len(metadata) != 2 || !strings.HasPrefix(metadata["categoryL1"].(string), "taste-") {
		t.Errorf("metadata is %v", metadata)
	}

	h.Must("DeleteRecommender", self)
	h.Refused("ResourceNotFoundException", "GetRecommendations", question)
	h.Refused("ResourceInUseException", "DeleteRecommender", self)
	steps(t, h.WatchGone("recommender", arn), "DELETE PENDING", "DELETE IN_PROGRESS")
	h.Refused("ResourceNotFoundException", "GetRecommendations", question)
}

func TestADomainHasItsOwnRules(t *testing.T) {
	t.Parallel()
	h := shop.New(t, start(t), "domain", "ECOMMERCE")
	h.Dataset("Interactions", domains[0].interactions)
	custom := shop.New(t, h.Server, "custom", "")
	for name, in := range map[string]M{
		"no PRICE":         {"domain": "ECOMMERCE", "schema": schema("Items", "ITEM_ID string", "CATEGORY_L1 string categorical")},
		"no CATEGORY_L1":   {"domain": "ECOMMERCE", "schema": schema("Items", "ITEM_ID string", "PRICE float")},
		"no EVENT_TYPE":    {"domain": "ECOMMERCE", "schema": schema("Interactions", "USER_ID string", "ITEM_ID string", "TIMESTAMP long")},
		"no CREATION time": {"domain": "VIDEO_ON_DEMAND", "schema": schema("Items", "ITEM_ID string", "GENRES string categorical")},
		"actions":          {"domain": "ECOMMERCE", "schema": schema("Actions", "ACTION_ID string", "VALUE long")},
	} {
		in["name"] = "refused"
		if m := h.Refused("InvalidInputException", "CreateSchema", in); !strings.HasPrefix(m, "Schema is not valid: ") {
			t.Errorf("%s: %q", name, m)
		}
	}
	foreign := custom.Schema("foreign", schema("Items", "ITEM_ID string", "PRICE float"))
	h.Refused("InvalidInputException", "CreateDataset", M{"name": "d", "datasetType": "Items", "schemaArn": foreign, "datasetGroupArn": h.Group})
	actions := custom.Schema("actions", actionsSchema)
	h.Refused("InvalidInputException", "CreateDataset", M{"name": "d", "datasetType": "Actions", "schemaArn": actions, "datasetGroupArn": h.Group})
	recommender := func(group, recipe string) string {
		return h.Refused("InvalidInputException", "CreateRecommender", M{"name": "r", "datasetGroupArn": group, "recipeArn": recipeARN + recipe})
	}
	if m := recommender(custom.Group, "aws-ecomm-recommended-for-you"); !strings.Contains(m, "no domain") {
		t.Errorf("a recommender of a custom group: %q", m)
	}
	if m := recommender(h.Group, "aws-vod-top-picks"); !strings.Contains(m, "VIDEO_ON_DEMAND") {
		t.Errorf("a recommender of another domain: %q", m)
	}
	if m := recommender(h.Group, "aws-user-personalization"); !strings.Contains(m, "solution") {
		t.Errorf("a recommender with a custom recipe: %q", m)
	}
	if m := h.Refused("InvalidInputException", "CreateSolution", M{"name": "s", "datasetGroupArn": h.Group, "recipeArn": recipeARN + "aws-ecomm-recommended-for-you"}); !strings.Contains(m, "recommender") {
		t.Errorf("a solution with a use case: %q", m)
	}
	out := h.Must("CreateDatasetGroup", M{"name": "vod", "domain": "VIDEO_ON_DEMAND"})
	if out["domain"] != "VIDEO_ON_DEMAND" {
		t.Errorf("CreateDatasetGroup answers %v", out)
	}
	if _, said := h.Must("CreateDatasetGroup", M{"name": "plain"})["domain"]; said {
		t.Error("CreateDatasetGroup answers a domain that was not given")
	}
}

// checkRelated trains a use case that answers for an item: never with that item, nor with what the user did already where the use case says so.
func checkRelated(t *testing.T, h *shop.Shop, d domain, events [][]string, name string) {
	t.Helper()
	arn := h.Make("CreateRecommender", "recommender", M{"name": name, "datasetGroupArn": h.Group, "recipeArn": recipeARN + name})
	user := events[1][0]
	query := itemsOf(events, "", d.done)[0]
	if m := h.Refused("InvalidInputException", "GetRecommendations", M{"recommenderArn": arn, "userId": user}); !strings.Contains(m, "itemId is required") {
		t.Errorf("%s without an item: %q", name, m)
	}
	request := M{"recommenderArn": arn, "itemId": query, "numResults": 40}
	bought := name == "aws-ecomm-frequently-bought-together" // asks for no user and leaves nothing out
	if !bought {
		if m := h.Refused("InvalidInputException", "GetRecommendations", request); !strings.Contains(m, "userId is required") {
			t.Errorf("%s without a user: %q", name, m)
		}
		request["userId"] = user
	}
	done := itemsOf(events, user, d.done)
	list := h.Must("GetRecommendations", request)["itemList"].([]any)
	if len(list) == 0 {
		t.Errorf("%s answers nothing", name)
	}
	for _, x := range list {
		item := x.(M)
		id := item["itemId"].(string)
		if _, scored := item["score"]; scored || id == query || !bought && slices.Contains(done, id) {
			t.Errorf("%s, asked for %s, answers with %v", name, query, item)
		}
	}
}
