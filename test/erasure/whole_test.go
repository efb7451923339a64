package erasure

import (
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/verify"
	"github.com/palate-dev/palate/test/shop"
)

// The users are served as strangers from the first moment of the deletion that shows it, and in the end the server is like one that never had them.
func TestADeletionFromTheFirstMomentToTheLast(t *testing.T) {
	t.Parallel()
	d := shop.Generate(60, 40, 1500, 81)
	gone := d.Users[10:14]
	h, campaign := trained(t, start(t, "--hold", "300ms"), d)
	tracking := h.Tracker()
	send(h, tracking, gone[0], "item-0003", time.Now())
	send(h, tracking, d.Users[0], "item-0005", time.Now())
	before := files(t, h.Data)

	deletion := h.StartDeletion(gone...)
	hidden := false
	for {
		job, err := h.Describe("dataDeletionJob", deletion)
		if err != nil {
			t.Fatal(err)
		}
		if job["status"] == "FAILED" {
			t.Fatal(job["failureReason"])
		}
		first := h.Answer(campaign, "canary-stranger", 10)
		listed := h.Answer(campaign, gone[0], 10)
		if again := h.Answer(campaign, "canary-stranger", 10); !cmp.Equal(first, again) {
			continue // the model was exchanged in between
		}
		alike := cmp.Equal(first, listed)
		if hidden && !alike {
			t.Fatalf("a listed user was served as a stranger, and then no more, while the job was %v", job["status"])
		}
		hidden = hidden || alike
		if job["status"] == "COMPLETED" {
			if want := rowsOf(d.Interactions, gone...) + 1 + len(gone); job["numDeleted"] != float64(want) {
				t.Errorf("%v rows deleted, want %d", job["numDeleted"], want)
			}
			break
		}
	}
	if !hidden {
		t.Error("a listed user is not served as a stranger")
	}

	after := files(t, h.Data)
	for rel, hash := range after {
		switch {
		case strings.HasPrefix(rel, "buckets") && !strings.Contains(rel, "forget") && before[rel] != hash:
			t.Errorf("the customer's %s changed", rel)
		case strings.Contains(rel, "/erasing/"):
			t.Errorf("%s is left of the deletion", rel)
		}
	}
	h.AssertNoBytesOf(append(gone, gone[0]+"-session")...)

	never, theirs := trained(t, start(t), without(d, gone...))
	send(never, never.Tracker(), d.Users[0], "item-0005", time.Now())
	for _, user := range []string{gone[0], gone[3], "canary-stranger", d.Users[0], d.Users[1], d.Users[30]} {
		if diff := cmp.Diff(never.Answer(theirs, user, 10), h.Answer(campaign, user, 10)); diff != "" {
			t.Errorf("somebody is answered otherwise than by a server that never had the users:\n%s", diff)
		}
	}
	want, got := stateOf(never), stateOf(h)
	noTimes := func(lines []string) (bare []string) { // the two events were sent at two times
		for _, line := range lines {
			if strings.HasPrefix(line, d.Users[0]) && !slices.Contains(shop.Lines(d.Interactions), line) {
				line = "an event"
			}
			bare = append(bare, line)
		}
		slices.Sort(bare)
		return bare
	}
	want.Interactions, got.Interactions = noTimes(want.Interactions), noTimes(got.Interactions)
	same(t, "a server that never had the users, and one that forgot them", want, got)
}

// A broad scenario, in the middle of which and after which every file of the data directory must have its row in the registry.
func TestEveryFileIsClaimed(t *testing.T) {
	t.Parallel()
	d := shop.Generate(80, 40, 3000, 82)
	h := shop.Open(t, start(t))
	stop, stopped := make(chan struct{}), make(chan struct{})
	look := func() {
		for _, rel := range names(t, h.Data) {
			if !verify.Claimed(rel) {
				t.Errorf("no row of the registry claims a file in %s", path.Dir(rel))
			}
		}
	}
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond): // leaves the processor to the server
				look()
			}
		}
	}()
	h.LoadAll(d)
	tracking := h.Tracker()
	solution := h.Solution("aws-user-personalization-v2")
	h.Version(solution)
	for n := range 20 {
		send(h, tracking, d.Users[n], "item-0001", time.Now())
	}
	imported := h.StartImport(h.Interactions, d.Interactions[:800], "INCREMENTAL")
	deletion := h.StartDeletion(d.Users[:3]...)
	training := h.Must("CreateSolutionVersion", M{"solutionArn": solution})["solutionVersionArn"].(string)
	h.Imported(imported)
	if job := h.Wait("dataDeletionJob", deletion); job["status"] != "COMPLETED" {
		t.Fatalf("deletion: %v", job["failureReason"])
	}
	h.Wait("solutionVersion", training)
	deletion = h.StartDeletion(d.Users[3:5]...)
	h.Kill()
	look()
	h.Restart()
	if job := h.Wait("dataDeletionJob", deletion); job["status"] != "COMPLETED" {
		t.Fatalf("deletion: %v", job["failureReason"])
	}
	h.Must("DeleteSolution", M{"solutionArn": solution})
	h.WatchGone("solution", solution)
	h.Must("DeleteDataset", M{"datasetArn": h.People})
	h.WatchGone("dataset", h.People)
	h.Forget(d.Users[6])
	close(stop)
	<-stopped
	look()
}
