package behaviour

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/test/server"
	"github.com/palate-dev/palate/test/shop"
)

// popular makes a recommender of what is watched most, and returns its ARN and a function that tells its first answer.
func popular(h *shop.Shop) (arn string, first func() string) {
	h.T.Helper()
	arn = h.Make("CreateRecommender", "recommender", M{"name": "popular", "datasetGroupArn": h.Group, "recipeArn": recipeARN + "aws-vod-most-popular"})
	return arn, func() string {
		h.T.Helper()
		out := h.Must("GetRecommendations", M{"recommenderArn": arn, "userId": "canary-anybody", "numResults": 1})
		return out["itemList"].([]any)[0].(M)["itemId"].(string)
	}
}

// watchedBy makes interactions in which each of the users watches the item.
func watchedBy(users []string, item string) [][]string {
	rows := [][]string{{"USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE"}}
	for _, user := range users {
		rows = append(rows, []string{user, item, "1800000000", "Watch"})
	}
	return rows
}

func usersOf(rows [][]string) []string {
	users := slices.Sorted(slices.Values(column(rows, "USER_ID")))
	return slices.Compact(users)
}

// A job is what `palate jobs` tells of one.
type job struct {
	Status        string `json:"status"`
	Done          int    `json:"done"`
	FailureReason string `json:"failureReason"`
}

func jobOf(t *testing.T, h *shop.Shop, arn string) (j job) {
	t.Helper()
	binary, err := server.Binary()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(binary, "jobs", "--json", "--data", h.Data, arn).Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &j); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return j
}

func TestARecommenderIsTrainedAgainByItself(t *testing.T) {
	t.Parallel()
	h, events := domains[1].open(t, "--retrain-period", "300ms")
	arn, first := popular(h)
	fans := usersOf(events)
	before, _ := h.Describe("recommender", arn)
	h.Imported(h.StartImport(h.Interactions, watchedBy(fans, "newcomer"), "INCREMENTAL"))
	eventually(t, "the recommender knows what came after its creation", func() bool { return first() == "newcomer" })
	eventually(t, "the metrics are those of the new model", func() bool {
		now, err := h.Describe("recommender", arn)
		if err != nil || now["status"] != "ACTIVE" || now["latestRecommenderUpdate"] != nil || now["failureReason"] != nil {
			t.Fatalf("recommender %v, %v", now, err)
		}
		return !cmp.Equal(before["modelMetrics"], now["modelMetrics"])
	})

	gone := fans[:len(fans)/2]
	h.Forget(gone...)
	h.AssertNoBytesOf(gone...)

	// It has no data to train on any more, and serves what it knows.
	h.Load(h.Interactions, watchedBy(fans[len(fans)-1:], "other")[:1])
	eventually(t, "palate jobs says why the training failed", func() bool { return strings.Contains(jobOf(t, h, arn).FailureReason, "fewer than") })
	if item := first(); item != "newcomer" {
		t.Errorf("after a training that failed %s is recommended", item)
	}
	if d, err := h.Describe("recommender", arn); err != nil || d["status"] != "ACTIVE" || d["failureReason"] != nil {
		t.Errorf("after a training that failed the recommender is %v, %v", d, err)
	}

	// A stopped one is not trained, and trained again once it is started.
	h.Must("StopRecommender", M{"recommenderArn": arn})
	h.WatchFor("recommender", arn, "INACTIVE")
	eventually(t, "the training that the stop displaced is cleared away", func() bool { return len(h.ModelDirs()) == 1 })
	stopped := h.ModelBytes()
	h.Load(h.Interactions, append(slices.Clone(events), watchedBy(fans, "latecomer")[1:]...))
	if diff := cmp.Diff(stopped, h.ModelBytes()); diff != "" {
		t.Errorf("the model of a stopped recommender changed:\n%s", diff)
	}
	h.Must("StartRecommender", M{"recommenderArn": arn})
	h.WatchFor("recommender", arn, "ACTIVE")
	eventually(t, "the recommender is trained again", func() bool { return first() == "latecomer" })
	eventually(t, "palate jobs forgets the failure", func() bool { return jobOf(t, h, arn).FailureReason == "" })
	h.Must("DeleteRecommender", M{"recommenderArn": arn})
	h.WatchGone("recommender", arn)
}

func TestAnUpdateOfTheColumnsTrainsARecommenderAnew(t *testing.T) {
	t.Parallel()
	d := domains[1]
	h, _ := d.open(t)
	arn := h.Make("CreateRecommender", "recommender", M{"name": "similar", "datasetGroupArn": h.Group, "recipeArn": recipeARN + "aws-vod-more-like-x"})
	before := h.ModelBytes()
	update := func(config M) {
		t.Helper()
		h.Must("UpdateRecommender", M{"recommenderArn": arn, "recommenderConfig": config})
		if u := settled(h, "recommender", arn, "latestRecommenderUpdate")["latestRecommenderUpdate"].(M); u["status"] != "ACTIVE" {
			t.Fatalf("update %v", u)
		}
	}
	update(M{"minRecommendationRequestsPerSecond": 2})
	if diff := cmp.Diff(before, h.ModelBytes()); diff != "" {
		t.Errorf("another capacity changed the model:\n%s", diff)
	}
	without := M{"trainingDataConfig": M{"excludedDatasetColumns": M{"ITEMS": []string{"GENRES"}}}}
	update(without)
	after := h.ModelBytes()
	if cmp.Equal(before, after) {
		t.Error("without the genres the model is the same")
	}
	update(M{"trainingDataConfig": without["trainingDataConfig"], "minRecommendationRequestsPerSecond": 3})
	if diff := cmp.Diff(after, h.ModelBytes()); diff != "" {
		t.Errorf("the same columns changed the model:\n%s", diff)
	}
}
