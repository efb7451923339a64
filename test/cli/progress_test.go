package cli

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/palate-dev/palate/test/server"
	"github.com/palate-dev/palate/test/shop"
)

// The progress of a deletion is on the disk after each step, never goes back through crashes, and moves lastUpdatedDateTime, also in a group without models.
func TestTheProgressOfADeletionOutlivesCrashesAndNeverGoesBack(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, server.Start(t))
	d := shop.Generate(30, 20, 300, 93)
	h.Load(h.Interactions, d.Interactions)
	var last struct {
		Status, Phase       string
		Overall             float64
		LastUpdatedDateTime time.Time
	}
	arn := ""
	h.Stop()
	for _, point := range []string{"hide:1", "erase:2", "rebuild:1", "verify:1", "verify:2", "receipt:2"} {
		h.Env = []string{"PALATE_CRASH=erase/" + point}
		err := h.TryRestart() // it may come by the point before it is ready
		if err == nil && arn == "" {
			arn = h.StartDeletion(d.Users[0])
		}
		if err == nil && !h.Died(t.Context()) {
			t.Fatalf("the server did not come by %s", point)
		}
		now := last
		if err := json.Unmarshal([]byte(must(t, "jobs", arn, "--json", "--data", h.Data)), &now); err != nil {
			t.Fatal(err)
		}
		if now.Status != "IN_PROGRESS" || now.Phase == "" || now.Overall < last.Overall || now.Overall <= 0 || now.LastUpdatedDateTime.Before(last.LastUpdatedDateTime) {
			t.Errorf("%s: %+v after %+v", point, now, last)
		}
		if point == "verify:1" && (!now.LastUpdatedDateTime.After(last.LastUpdatedDateTime) || now.Overall <= last.Overall) {
			t.Errorf("two steps further nothing has moved: %+v after %+v", now, last)
		}
		last = now
	}
	h.Env = nil
	h.Restart()
	if out := must(t, "jobs", arn, "--watch", "--data", h.Data); !strings.Contains(out, "COMPLETED") {
		t.Errorf("--watch ended with:\n%s", out)
	}
	if job := h.Wait("dataDeletionJob", arn); job["status"] != "COMPLETED" || job["lastUpdatedDateTime"].(float64) < float64(last.LastUpdatedDateTime.UnixMilli())/1000 {
		t.Errorf("ended %v, last changed at %v", job, last.LastUpdatedDateTime)
	}
	fails(t, "no job arn:none in", "jobs", "arn:none", "--data", h.Data)
}
