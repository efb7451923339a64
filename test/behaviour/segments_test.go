package behaviour

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/test/shop"
)

// A segmentLine is one line of the result of a batch segment job.
type segmentLine struct {
	Input  any
	Output *struct{ UsersList []string }
	Error  *string
}

// segments runs a job over one object with the given lines and returns the lines of its result.
func segments(h *shop.Shop, version string, with M, lines ...string) []segmentLine {
	h.T.Helper()
	return checked(h, h.Batch(shop.Segment, version, with, lines...))
}

func segmentsOf(h *shop.Shop, key string) []segmentLine {
	h.T.Helper()
	return checked(h, h.ResultOf(key))
}

// checked reads the lines of a result, each of which has users or an error.
func checked(h *shop.Shop, lines []string) []segmentLine {
	h.T.Helper()
	out := decoded[segmentLine](h, lines)
	for _, l := range out {
		if (l.Output == nil) == (l.Error == nil) || l.Output != nil && l.Output.UsersList == nil {
			h.T.Fatal("a line of a result has neither users nor an error, or both")
		}
	}
	return out
}

// filterOf creates a filter.
func filterOf(h *shop.Shop, expression string) string {
	h.T.Helper()
	return h.Make("CreateFilter", "filter", M{"name": h.Name("filter"), "datasetGroupArn": h.Group, "filterExpression": expression})
}

func tier(d shop.Data, user string) string {
	return d.Profiles[1+slices.Index(d.Users, user)][1]
}

func TestSegmentsNameUsersForItems(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t))
	d := shop.Generate(80, 50, 1600, 41)
	h.LoadAll(d)
	version := h.Version(h.Solution("aws-item-affinity"))
	metrics := h.Must("GetSolutionMetrics", M{"solutionVersionArn": version})["metrics"].(M)
	if len(metrics) != 3 || metrics["coverage"] == nil || metrics["hits_at_1_percent"] == nil || metrics["recall_at_1_percent"] == nil {
		t.Errorf("metrics %v", metrics)
	}
	got := segments(h, version, M{"numResults": 5_000_000}, `{ "itemId": "item-0003" }`, `{"itemId":"item-0002"}`, "", `{"itemId":"nothing"}`, `{"itemId":""}`, `{"itemId":`, `[]`,
		`{"userId":"x"}`, `{"itemAttributes":"ITEMS.GENRES = \"all\""}`, `{"itemId":"item-0003","filterValues":{"A":"\"b\""}}`)
	if len(got) != 9 {
		t.Fatalf("%d results for 9 lines", len(got))
	}
	for i, l := range got[2:] {
		if l.Error == nil {
			t.Errorf("bad line %d has the result %+v", i, l)
		}
	}
	if diff := cmp.Diff(any(M{"itemId": "item-0003"}), got[0].Input); diff != "" {
		t.Error(diff)
	}
	all := got[0].Output.UsersList
	if sorted := slices.Sorted(slices.Values(all)); !slices.Equal(sorted, slices.Sorted(slices.Values(d.Users))) {
		t.Errorf("the segment of everybody has %d users", len(all))
	}
	if slices.Equal(all, got[1].Output.UsersList) {
		t.Error("items of two tastes have the same users first")
	}
	likes := 0 // items of taste 3 are for every fourth user
	for _, user := range all[:10] {
		if slices.Index(d.Users, user)%4 == 3 {
			likes++
		}
	}
	if likes < 7 {
		t.Errorf("of the first 10 users for an item %d have its taste", likes)
	}
	if got := segments(h, version, nil, `{"itemId":"item-0003"}`); !slices.Equal(got[0].Output.UsersList, all[:25]) {
		t.Errorf("without numResults: %d users", len(got[0].Output.UsersList))
	}

	// filters
	gold := filterOf(h, `INCLUDE UserID WHERE Users.TIER IN ($TIER)`)
	filtered := segments(h, version, M{"filterArn": gold, "numResults": 7}, `{"itemId":"item-0003","filterValues":{"TIER":"\"gold\""}}`, `{"itemId":"item-0003"}`,
		`{"itemId":"item-0003","filterValues":{"TIER":"\"iron\""}}`)
	var want []string
	for _, user := range all {
		if tier(d, user) == "gold" && len(want) < 7 {
			want = append(want, user)
		}
	}
	if diff := cmp.Diff(want, filtered[0].Output.UsersList); diff != "" {
		t.Error(diff)
	}
	if filtered[1].Error == nil || !strings.Contains(*filtered[1].Error, "TIER") || len(filtered[2].Output.UsersList) != 0 {
		t.Errorf("%+v", filtered[1:])
	}
	for expression, n := range map[string]int{`EXCLUDE UserID WHERE Interactions.EVENT_TYPE IN ("VIEW")`: 0, `EXCLUDE UserID WHERE Interactions.EVENT_TYPE IN ("buy")`: 25} {
		if got := segments(h, version, M{"filterArn": filterOf(h, expression)}, `{"itemId":"item-0003"}`); len(got[0].Output.UsersList) != n {
			t.Errorf("%s: %d users, want %d", expression, len(got[0].Output.UsersList), n)
		}
	}

	// deletion
	h.Forget(all[0], all[5])
	after := segments(h, version, M{"numResults": 1000}, `{"itemId":"item-0003"}`)[0].Output.UsersList
	if len(after) != len(all)-2 || slices.Contains(after, all[0]) || slices.Contains(after, all[5]) {
		t.Error("deleted users are in a segment")
	}
	h.AssertNoBytesOf(all[0], all[5])
}

func TestSegmentsNameUsersForAttributes(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t))
	d := shop.Generate(80, 50, 1600, 42)
	h.LoadAll(d)
	version := h.Version(h.Solution("aws-item-attribute-affinity"))
	got := segments(h, version, nil, `{"itemAttributes":"ITEMS.GENRES = \"taste-3\""}`, `{"itemAttributes": "items.genres = \"all\" and ITEMS.GENRES=\"taste-1\""}`,
		`{"itemAttributes":"ITEMS.PRICE = 3.99"}`, `{"itemAttributes":"ITEMS.GENRES = \"taste-3\" AND ITEMS.GENRES = \"taste-1\""}`, `{"itemAttributes":"ITEMS.GENRES = \"Taste-3\""}`,
		`{"itemAttributes":"ITEMS.NOSUCH = \"a\""}`, `{"itemAttributes":"ITEMS.GENRES IN (\"taste-3\")"}`, `{"itemAttributes":""}`, `{"itemId":"item-0003"}`, `{"itemAttributes":7}`)
	for i, l := range got {
		if (l.Output != nil) != (i < 3) {
			t.Errorf("line %d: %+v", i, l)
		}
	}
	for i, taste := range []int{3, 1, 3} {
		likes := 0
		for _, user := range got[i].Output.UsersList[:10] {
			if slices.Index(d.Users, user)%4 == taste {
				likes++
			}
		}
		if len(got[i].Output.UsersList) != 25 || likes < 7 {
			t.Errorf("line %d: of the first 10 users %d have its taste", i, likes)
		}
	}
	silver := filterOf(h, `EXCLUDE UserID WHERE Users.TIER = "gold"`)
	for _, user := range segments(h, version, M{"filterArn": silver}, `{"itemAttributes":"ITEMS.GENRES = \"all\""}`)[0].Output.UsersList {
		if tier(d, user) != "silver" {
			t.Error("the filter lets somebody pass")
		}
	}
	if said := h.Refused("InvalidInputException", "CreateCampaign", M{"name": "c", "solutionVersionArn": version}); said == "" {
		t.Error("a campaign of segments")
	}
}

// A job over a folder has a result for each object, also if the server dies between two of them; what is wrong with the job is said once.
func TestASegmentJobThatIsKilledGoesOnWithTheNextObject(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t))
	d := shop.Generate(60, 40, 1200, 43)
	h.Load(h.Interactions, d.Interactions)
	version := h.Version(h.Solution("aws-item-affinity"))
	for n := range 3 {
		h.Upload(h.Objects, fmt.Sprintf("ask/folder/%d.json", n), fmt.Sprintf(`{"itemId":"item-%04d"}`, n))
	}
	h.Stop()
	h.Env = []string{"PALATE_CRASH=batch/object:2"}
	h.Restart()
	arn, folder := h.StartBatch(shop.Segment, version, "ask/folder/", nil)
	if !h.Died(t.Context()) {
		t.Fatal("the server did not come by the crash point")
	}
	h.Env = nil
	h.Restart()
	if job := h.Wait("batchSegmentJob", arn); job["status"] != "ACTIVE" {
		t.Fatalf("%v", job["failureReason"])
	}
	for n := range 3 {
		got := segmentsOf(h, fmt.Sprintf("%s%d.json.out", folder, n))
		if diff := cmp.Diff(any(M{"itemId": fmt.Sprintf("item-%04d", n)}), got[0].Input); len(got) != 1 || diff != "" {
			t.Errorf("object %d: %v %s", n, got, diff)
		}
	}
	h.Upload(h.Objects, "ask/empty.json", "\n\n")
	h.Upload(h.Objects, "ask/bad.json", "nonsense\n{\"itemId\":\"nothing\"}")
	for key, reason := range map[string]string{"ask/none/": "does not contain any input", "ask/bad.json": "No line of the input could be answered", "ask/empty.json": "No line of the input could be answered"} {
		arn, _ := h.StartBatch(shop.Segment, version, key, nil)
		if job := h.Wait("batchSegmentJob", arn); job["status"] != "CREATE FAILED" || !strings.Contains(job["failureReason"].(string), reason) {
			t.Errorf("%s: %v %v", key, job["status"], job["failureReason"])
		}
	}
	if listed := h.Must("ListBatchSegmentJobs", M{"solutionVersionArn": version})["batchSegmentJobs"].([]any); len(listed) != 4 {
		t.Errorf("%d jobs are listed", len(listed))
	}
}

// A data deletion does not wait until a segment job is done, and from some object on nobody finds the deleted user in its results.
func TestADeletionOvertakesASegmentJob(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t))
	d := shop.Generate(60, 40, 1200, 45)
	h.Load(h.Interactions, d.Interactions)
	version := h.Version(h.Solution("aws-item-affinity"))
	const objects = 40
	line := strings.Repeat(`{"itemId":"item-0001"}`+"\n", 40)
	for n := range objects {
		h.Upload(h.Objects, fmt.Sprintf("ask/many/%03d.json", n), line)
	}
	arn, folder := h.StartBatch(shop.Segment, version, "ask/many/", M{"numResults": 100})
	deletion := h.StartDeletion(d.Users[3])
	if job := h.Wait("dataDeletionJob", deletion); job["status"] != "COMPLETED" {
		t.Fatalf("deletion: %v", job["failureReason"])
	}
	overtook := len(h.Download(h.Objects, folder)) < objects // a job that has written everything may not say so yet
	if job := h.Wait("batchSegmentJob", arn); job["status"] != "ACTIVE" {
		t.Fatalf("segments: %v", job["failureReason"])
	}
	gone := false
	for n := range objects {
		for _, l := range segmentsOf(h, fmt.Sprintf("%s%03d.json.out", folder, n)) {
			has := slices.Contains(l.Output.UsersList, d.Users[3])
			if has && gone || !has && len(l.Output.UsersList) != 59 || has && len(l.Output.UsersList) != 60 {
				t.Fatalf("object %d: %d users, with the deleted one: %v", n, len(l.Output.UsersList), has)
			}
			gone = gone || !has
		}
	}
	if overtook && !gone {
		t.Error("the deletion overtook the job, whose last result holds the user")
	}
	t.Logf("the deletion overtook the job: %v", overtook)
	h.AssertNoBytesOf(d.Users[3])
}

// What a filter takes out of the answers of batch inference jobs and of requests is what the data says it must.
func TestAnswersAreFiltered(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t))
	d := shop.Generate(80, 50, 1600, 44)
	h.LoadAll(d)
	tracker := h.Tracker()
	genres, seen := map[string]string{}, map[string]bool{} // seen: user and item
	for _, item := range d.Items[1:] {
		genres[item[0]] = item[2]
	}
	for _, event := range d.Interactions[1:] {
		seen[event[0]+" "+event[1]] = true
	}
	all := M{"numResults": 500, "batchInferenceJobConfig": M{"itemExplorationConfig": M{"explorationWeight": "0"}}}
	with := func(expression string) M {
		m := M{"filterArn": filterOf(h, expression)}
		for k, v := range all {
			m[k] = v
		}
		return m
	}
	version := h.Version(h.Solution("aws-user-personalization"))
	campaign := h.Make("CreateCampaign", "campaign", M{"name": "filtered", "solutionVersionArn": version, "campaignConfig": M{"itemExplorationConfig": M{"explorationWeight": "0"}}})
	ranking := h.Make("CreateCampaign", "campaign", M{"name": "ranked", "solutionVersionArn": h.Version(h.Solution("aws-personalized-ranking"))})
	values := M{"G": `"taste-1","taste-2"`, "T": "gold"}
	ids := func(list any) []string {
		out := []string{}
		for _, item := range list.([]any) {
			out = append(out, item.(M)["itemId"].(string))
		}
		return out
	}
	var lines []string
	for _, user := range append(slices.Clone(d.Users[:20]), "nobody") {
		lines = append(lines, fmt.Sprintf(`{"userId":%q,"filterValues":{"G":"\"taste-1\",\"taste-2\"","T":"gold"}}`, user))
	}
	plain := make([]string, len(lines))
	for i, line := range lines {
		plain[i] = line[:strings.Index(line, `,"filterValues"`)] + "}"
	}
	whole := batch(h, version, all, plain...)
	for expression, keeps := range map[string]func(user, item string) bool{
		`INCLUDE ItemID WHERE Items.GENRES IN ($G)`: func(_, item string) bool {
			return strings.HasPrefix(genres[item], "taste-1|") || strings.HasPrefix(genres[item], "taste-2|")
		},
		`EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("View")`: func(user, item string) bool { return !seen[user+" "+item] },
		`EXCLUDE ItemID WHERE Items.GENRES IN ("taste-0") IF CurrentUser.TIER = $T | EXCLUDE ItemID WHERE Items.PRICE < 5`: func(user, item string) bool {
			gold := user != "nobody" && tier(d, user) == "gold"
			return !(gold && strings.HasPrefix(genres[item], "taste-0|")) && item >= "item-0005"
		},
		`INCLUDE ItemID WHERE Items.GENRES IN ("nothing")`: func(_, _ string) bool { return false },
	} {
		request := with(expression)
		got := batch(h, version, request, lines...)
		for i, l := range got {
			user := l.Input.(M)["userId"].(string)
			want := []string{}
			for _, item := range whole[i].Output.RecommendedItems {
				if keeps(user, item) {
					want = append(want, item)
				}
			}
			if l.Error != nil {
				t.Fatalf("%s: %s", expression, *l.Error)
			}
			if diff := cmp.Diff(want, l.Output.RecommendedItems); diff != "" {
				t.Errorf("%s, line %d: %s", expression, i, diff)
			}
			if i%5 > 0 {
				continue
			}
			asked := M{"campaignArn": campaign, "userId": user, "numResults": 500, "filterArn": request["filterArn"], "filterValues": values}
			if diff := cmp.Diff(want, ids(h.Must("GetRecommendations", asked)["itemList"])); diff != "" {
				t.Errorf("%s, request %d: %s", expression, i, diff)
			}
			list := []string{"item-0001", "item-0002", "item-0003", "item-0004", "item-0030", "item-0031", "unknown"}
			asked = M{"campaignArn": ranking, "userId": user, "inputList": list, "filterArn": request["filterArn"], "filterValues": values}
			ranked := ids(h.Must("GetPersonalizedRanking", asked)["personalizedRanking"])
			for _, item := range list[:6] {
				if slices.Contains(ranked, item) != keeps(user, item) {
					t.Errorf("%s, ranking %d: %s", expression, i, item)
				}
			}
		}
	}
	if got := batch(h, version, with(`INCLUDE ItemID WHERE Items.PRICE < $P`), plain[0], plain[0][:len(plain[0])-1]+`,"filterValues":{"P":"much"}}`,
		plain[0][:len(plain[0])-1]+`,"filterValues":{"P":"100"}}`); got[0].Error == nil || got[1].Error == nil || got[2].Error != nil {
		t.Errorf("%+v", got)
	}

	// events that came after the training count in filters
	unseen := filterOf(h, `EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN (*)`)
	fresh := whole[0].Output.RecommendedItems[len(whole[0].Output.RecommendedItems)-1]
	h.Must("PutEvents", M{"trackingId": tracker, "userId": d.Users[0], "sessionId": "canary-session", "eventList": []M{{"eventType": "view", "itemId": fresh, "sentAt": 1_800_000_000}}})
	if got := batch(h, version, with(`EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN (*)`), plain[0]); slices.Contains(got[0].Output.RecommendedItems, fresh) {
		t.Error("an event of after the training does not count in a filter")
	}
	asked := M{"campaignArn": campaign, "userId": d.Users[0], "numResults": 500, "filterArn": unseen}
	if got := ids(h.Must("GetRecommendations", asked)["itemList"]); slices.Contains(got, fresh) || len(got) == 0 {
		t.Error("an event of after the training does not count in the filter of a request")
	}
	h.Forget(d.Users[0])
	if got, whole := ids(h.Must("GetRecommendations", asked)["itemList"]), h.Recommend(campaign, d.Users[0], 500); !slices.Equal(got, whole) {
		t.Error("a filter knows what a deleted user did")
	}

	related := h.Version(h.Solution("aws-sims"))
	same := batch(h, related, M{"filterArn": filterOf(h, `INCLUDE ItemID WHERE Items.GENRES = CurrentItem.GENRES`)}, `{"itemId":"item-0003"}`)
	if len(same[0].Output.RecommendedItems) == 0 {
		t.Error("no item is like the item")
	}
	for _, item := range same[0].Output.RecommendedItems {
		if genres[item] != genres["item-0003"] {
			t.Errorf("%s is not of the item's genres", item)
		}
	}
	needs := batch(h, related, M{"filterArn": filterOf(h, `EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("view")`)}, fmt.Sprintf(`{"itemId":"item-0003","userId":%q}`, d.Users[3]), `{"itemId":"item-0003"}`)
	if needs[0].Error != nil || needs[1].Error == nil {
		t.Errorf("%+v", needs)
	}
	for _, item := range needs[0].Output.RecommendedItems {
		if seen[d.Users[3]+" "+item] {
			t.Error("an item that the user had passes")
		}
	}
}

// TestFiltersSeeTheNewestHundredStreamedEventsOfEachType: what a user did often does not hide what he did once.
func TestFiltersSeeTheNewestHundredStreamedEventsOfEachType(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t))
	h.LoadAll(shop.Generate(40, 30, 600, 46))
	campaign := h.Make("CreateCampaign", "campaign", M{"name": "popular", "solutionVersionArn": h.Version(h.Solution("aws-popularity-count"))})
	tracking, user, sent := h.Tracker(), canary+"-shopper", 0
	put := func(kind string, items ...string) {
		t.Helper()
		for chunk := range slices.Chunk(items, 10) {
			var events []M
			for _, item := range chunk {
				sent++
				events = append(events, M{"eventType": kind, "itemId": item, "sentAt": 1_800_000_000 + sent})
			}
			h.Must("PutEvents", M{"trackingId": tracking, "userId": user, "sessionId": user, "eventList": events})
		}
	}
	left := func(kind string) map[string]bool {
		t.Helper()
		out := h.Must("GetRecommendations", M{"campaignArn": campaign, "userId": user, "numResults": 100,
			"filterArn": filterOf(h, `EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("`+kind+`")`)})
		return set(itemIDs(out))
	}
	put("Purchase", "item-0001")
	put("Save", "item-0002")
	put("Save", slices.Repeat([]string{"item-0003"}, 100)...)
	put("View", slices.Repeat([]string{"item-0004"}, 350)...)
	check := func(when string) {
		t.Helper()
		if items := left("Purchase"); items["item-0001"] || !items["item-0002"] {
			t.Errorf("%s: the one purchase is not seen behind 450 other events", when)
		}
		if items := left("Save"); items["item-0003"] || !items["item-0002"] {
			t.Errorf("%s: not exactly the newest hundred of a type are seen", when)
		}
	}
	check("after the events")
	h.Stop()
	h.Restart()
	check("after a restart")

	put("Save", "item-0005")
	h.Stop()
	h.Args("--filter-interactions", "1")
	h.Restart()
	if items := left("Save"); items["item-0005"] || !items["item-0003"] {
		t.Error("with --filter-interactions 1 not exactly the newest one of a type is seen")
	}
}

func itemIDs(answer M) (ids []string) {
	for _, item := range answer["itemList"].([]any) {
		ids = append(ids, item.(M)["itemId"].(string))
	}
	return ids
}
