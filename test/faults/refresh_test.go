package faults

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/palate-dev/palate/test/server"
	"github.com/palate-dev/palate/test/shop"
)

// trends is a shop whose campaign shows trends. They follow new data only while follow says so.
type trends struct {
	*shop.Shop
	version, campaign, tracking string
	at                          int64 // of the newest event
}

func openTrends(t *testing.T) *trends {
	h := &trends{Shop: shop.Open(t, server.Start(t, "--trend-refresh", "1h"))}
	data := shop.Generate(60, 40, 1200, 23)
	h.LoadAll(data)
	rows := data.Interactions
	at, err := strconv.ParseInt(rows[len(rows)-1][2], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	h.at, h.tracking = at, h.Tracker()
	h.version = h.Version(h.Solution("aws-trending-now"))
	h.campaign = h.Make("CreateCampaign", "campaign", server.M{"name": "trends", "solutionVersionArn": h.version})
	return h
}

// list is what the campaign shows.
func (h *trends) list() (items []string) {
	h.T.Helper()
	for _, item := range h.Must("GetRecommendations", server.M{"campaignArn": h.campaign, "numResults": 10})["itemList"].([]any) {
		items = append(items, item.(server.M)["itemId"].(string))
	}
	return items
}

// run makes an item the trend of the next interval, by events of as many users.
func (h *trends) run(item string) (users []string) {
	h.T.Helper()
	h.at += 40_000
	for n := range 60 {
		users = append(users, fmt.Sprintf("canary-%s-%02d", item, n))
		h.Must("PutEvents", server.M{"trackingId": h.tracking, "userId": users[n], "sessionId": users[n],
			"eventList": []server.M{{"eventType": "view", "itemId": item, "sentAt": h.at + int64(n)}}})
	}
	return users
}

// dies lets the trends follow, and the process end at a point on the way.
func (h *trends) dies(point string) {
	h.T.Helper()
	h.Stop()
	h.Env = []string{"PALATE_CRASH=" + point + ":1"}
	h.Args("--trend-refresh", "100ms")
	if err := h.TryRestart(); err == nil && !h.Died(h.T.Context()) { // it may also die before it is ready
		h.T.Fatalf("the server did not come by %s", point)
	}
	h.Env = nil
	h.Args("--trend-refresh", "1h") // what was begun is finished all the same
	h.Restart()
}

// until asks until an item leads, and sees that every answer is the old list or the new one, and the old one never after the new one.
func (h *trends) until(old []string, item string) {
	h.T.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-time.After(5 * time.Millisecond) {
		switch list := h.list(); {
		case list[0] == item:
			for range 5 {
				if again := h.list(); !slices.Equal(again, list) {
					h.T.Errorf("after the refresh the list is %v, and then %v", list, again)
				}
			}
			return
		case !slices.Equal(list, old):
			h.T.Fatalf("until the refresh is done the list is %v, not that of before, %v", list, old)
		}
	}
	h.T.Fatalf("%s does not come to lead the trends", item)
}

// alone waits until the model in use is the only one.
func (h *trends) alone() {
	h.T.Helper()
	for deadline := time.Now().Add(30 * time.Second); len(h.ModelDirs()) != 1; <-time.After(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.T.Fatalf("%d model directories are left of one version", len(h.ModelDirs()))
		}
	}
}

// A refresh that is killed leaves the old model in use, or the new one, and nothing else; after the start it is finished.
func TestAKilledRefreshLeavesTheTrendsServing(t *testing.T) {
	h := openTrends(t)
	metrics := fmt.Sprint(h.Must("GetSolutionMetrics", server.M{"solutionVersionArn": h.version}))
	for n, point := range []string{"refresh/begin", "train/made", "model/replaced", "refresh/done", "refresh/committed"} {
		old, item := h.list(), fmt.Sprintf("new-%d", n)
		h.run(item)
		h.dies(point)
		if d, err := h.Describe("solutionVersion", h.version); err != nil || d["status"] != "ACTIVE" {
			t.Errorf("%s: the version is %v, %v", point, d["status"], err)
		}
		h.until(old, item)
		h.alone()
	}
	if now := fmt.Sprint(h.Must("GetSolutionMetrics", server.M{"solutionVersionArn": h.version})); now != metrics {
		t.Errorf("the metrics of the version were %v and are %v", metrics, now)
	}
}

// A deletion that comes while a refresh lies half done takes its users out of whatever that has made.
func TestADeletionFindsAKilledRefresh(t *testing.T) {
	h := openTrends(t)
	for n, point := range []string{"train/made", "model/replaced"} {
		item := fmt.Sprintf("new-%d", n)
		users := h.run(item)
		h.dies(point)
		h.Forget(users...)
		if list := h.list(); slices.Contains(list, item) {
			t.Errorf("%s: what only deleted users knew is a trend: %v", point, list)
		}
		h.alone()
		h.AssertNoBytesOf(users...)
	}
}
