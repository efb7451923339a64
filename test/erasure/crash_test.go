package erasure

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/test/server"
	"github.com/palate-dev/palate/test/shop"
)

func TestACrashAtEveryStepGivesTheSameState(t *testing.T) {
	t.Parallel()
	d := shop.Generate(60, 30, 900, 88)
	h, _ := trained(t, start(t, "--hold", "100ms"), d)
	points := []string{"hide:2", "erase:2", "rebuild:2", "receipt:2"}
	if os.Getenv("PALATE_TORTURE") != "" {
		points = append(points, "pin:2", "hide:1", "erase:1", "rebuild:1", "sweep:1", "sweep:2", "verify:1", "verify:2", "receipt:1")
	}
	left := d
	for n, point := range points {
		gone := d.Users[n]
		h.Stop()
		h.Env = []string{"PALATE_CRASH=erase/" + point}
		h.Restart()
		arn := h.StartDeletion(gone)
		if !h.Died(t.Context()) {
			t.Fatalf("the server did not come by %s", point)
		}
		h.Env = nil
		h.Restart()
		want := rowsOf(left.Interactions, gone) + 1
		if job := h.Wait("dataDeletionJob", arn); job["status"] != "COMPLETED" || job["numDeleted"] != float64(want) {
			t.Fatalf("%s: ended %v (%v) with %v rows deleted, want %d", point, job["status"], job["failureReason"], job["numDeleted"], want)
		}
		left = without(left, gone)
	}
	h.AssertNoBytesOf(d.Users[:len(points)]...)
	never, _ := trained(t, start(t), left)
	same(t, "a server that never had the users, and one that crashed while it forgot them", stateOf(never), stateOf(h))
}

// Models over the same data that must come out equal are computed once; a crash before one of them, or while it is copied, changes nothing.
func TestEqualModelsAreMadeOnceWhateverCrashes(t *testing.T) {
	t.Parallel()
	d := shop.Generate(60, 30, 900, 92)
	open := func(d shop.Data) *shop.Shop {
		h, _ := trained(t, start(t), d)
		ranking := h.Solution("aws-personalized-ranking-v2")
		for _, solution := range []string{h.Solution("aws-user-personalization-v2"), ranking, ranking, h.Solution("aws-sims")} {
			h.Version(solution)
		}
		return h
	}
	h, left := open(d), d
	for n, point := range []string{"", "rebuild/model:2", "rebuild/equal:1", "rebuild/equal:2"} {
		gone := d.Users[n]
		left = without(left, gone)
		h.Stop()
		h.Env = nil
		if point != "" {
			h.Env = []string{"PALATE_CRASH=" + point}
		}
		h.Restart()
		arn := h.StartDeletion(gone)
		if point != "" {
			if !h.Died(t.Context()) {
				t.Fatalf("the server did not come by %s", point)
			}
			h.Env = nil
			h.Restart()
		}
		if job := h.Wait("dataDeletionJob", arn); job["status"] != "COMPLETED" {
			t.Fatalf("%q: ended %v (%v)", point, job["status"], job["failureReason"])
		}
	}
	h.AssertNoBytesOf(d.Users[:4]...)
	if diff := cmp.Diff(open(left).AllModelBytes(), h.AllModelBytes()); diff != "" {
		t.Errorf("a server that never had the users, and one that forgot them:\n%s", diff)
	}
}

func TestADeletionThatCannotBeVerifiedFailsAndIsSafeToRepeat(t *testing.T) {
	t.Parallel()
	d := shop.Generate(30, 20, 300, 89)
	h := shop.Open(t, start(t))
	h.Load(h.Interactions, d.Interactions)
	stray := filepath.Join(h.Data, "store", "notes")
	if err := os.WriteFile(stray, []byte(d.Users[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	job := h.Wait("dataDeletionJob", h.StartDeletion(d.Users[0]))
	if job["status"] != "FAILED" || !strings.Contains(job["failureReason"].(string), "no part of the store owns") {
		t.Fatalf("with a file that nobody claims the deletion ended %v: %v", job["status"], job["failureReason"])
	}
	if err := os.Remove(stray); err != nil {
		t.Fatal(err)
	}
	if n := h.Forget(d.Users[0]); n != 0 {
		t.Errorf("the repetition deleted %d rows: the first run had taken them out already", n)
	}
	h.AssertNoBytesOf(d.Users[0])
	if diff := cmp.Diff(shop.Lines(shop.Without(d.Interactions, d.Users[0])), shop.Lines(h.Export(h.Interactions, "ALL"))); diff != "" {
		t.Error(diff)
	}
}

func TestWhatComesLateStaysOut(t *testing.T) {
	t.Parallel()
	d := shop.Generate(30, 20, 300, 90)
	h := shop.Open(t, start(t))
	h.Load(h.Interactions, d.Interactions)
	tracking := h.Tracker()
	before := time.Now().Add(-time.Minute)
	send(h, tracking, d.Users[0], "item-0001", before)
	h.Forget(d.Users[0])
	send(h, tracking, d.Users[0], "item-0001", before) // the client had no answer and tries again
	h.Kill()
	h.Restart()
	send(h, tracking, d.Users[0], "item-0002", before)
	send(h, tracking, d.Users[1], "item-0003", before)
	if n := rowsOf(h.Export(h.Interactions, "ALL"), d.Users[0]); n != 0 {
		t.Errorf("%d events that were sent before the deletion are back", n)
	}
	if n, want := rowsOf(h.Export(h.Interactions, "ALL"), d.Users[1]), rowsOf(d.Interactions, d.Users[1])+1; n != want {
		t.Errorf("somebody else has %d events, want %d", n, want)
	}
	h.AssertNoBytesOf(d.Users[0])
	send(h, tracking, d.Users[0], "item-0004", time.Now().Add(time.Minute)) // whoever comes after the deletion is a new user
	if n := rowsOf(h.Export(h.Interactions, "ALL"), d.Users[0]); n != 1 {
		t.Errorf("the new user of an old id has %d events", n)
	}
}

func TestARestoredBackupForgetsBeforeItsFirstAnswer(t *testing.T) {
	t.Parallel()
	d := shop.Generate(60, 30, 900, 91)
	ledger := filepath.Join(t.TempDir(), "ledger")
	h, campaign := trained(t, start(t, "--ledger", ledger), d)
	older := d.Users[0]
	h.Forget(older)
	h.Stop()
	backup := filepath.Join(t.TempDir(), "backup")
	if out, err := exec.Command("cp", "-a", h.Data, backup).CombinedOutput(); err != nil { // with the attributes that the embedded S3 needs
		t.Fatalf("%v: %s", err, out)
	}
	h.Restart()
	if pending := strings.Count(h.Log(), "applied again"); pending > 0 {
		t.Error("a data directory that is no backup was taken for one")
	}
	gone := d.Users[5:8]
	want := h.Forget(gone[:2]...) + h.Forget(gone[2])
	forgotten := stateOf(h)
	h.Stop()

	if err := errors.Join(os.RemoveAll(h.Data), os.Rename(backup, h.Data)); err != nil {
		t.Fatal(err)
	}
	// Time stops in the middle, so that requests meet a server that has not forgotten yet, and then in one that has to go on.
	h.Env = []string{"PALATE_CRASH=erase/rebuild:1"}
	if err := h.TryRestart(); err == nil && !h.Died(t.Context()) {
		t.Fatal("the server did not come by the point of its crash")
	}
	h.Env = nil
	h.Restart()
	refused := 0
	stranger := "canary-stranger"
	for {
		answer, err := h.Call("GetRecommendations", M{"campaignArn": campaign, "userId": gone[0], "numResults": 10})
		var e *server.APIError
		if errors.As(err, &e) && e.Status == 503 {
			refused++
			<-time.After(time.Millisecond)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(h.Must("GetRecommendations", M{"campaignArn": campaign, "userId": stranger, "numResults": 10})["itemList"], answer["itemList"]); diff != "" {
			t.Errorf("the first answer of a restored backup knows a deleted user:\n%s", diff)
		}
		break
	}
	t.Logf("%d requests were refused", refused)
	h.AssertNoBytesOf(append(gone, older)...)
	h.Objects = h.Bucket("shop")
	same(t, "a restored backup, and the server whose deletions it did not know", forgotten, stateOf(h))
	deleted := 0.0
	for _, job := range h.Must("ListDataDeletionJobs", M{"datasetGroupArn": h.Group})["dataDeletionJobs"].([]any) {
		described, err := h.Describe("dataDeletionJob", job.(M)["dataDeletionJobArn"].(string))
		if err != nil {
			t.Fatal(err)
		}
		deleted += described["numDeleted"].(float64)
	}
	if all := float64(want + rowsOf(d.Interactions, older) + 1); deleted != all {
		t.Errorf("the deletions of the restored backup tell of %v rows, want %v", deleted, all)
	}
	for rel := range files(t, ledger) {
		text, err := os.ReadFile(filepath.Join(ledger, rel))
		if err != nil || strings.Contains(string(text), canary) {
			t.Errorf("%s in the ledger can be read (%v)", rel, err)
		}
	}
}
