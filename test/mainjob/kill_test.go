package mainjob

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/test/seeds"
	"github.com/palate-dev/palate/test/server"
	"github.com/palate-dev/palate/test/shop"
)

// interrupt kills the server at a random moment of the next span, which begins now, and starts it again.
func interrupt(h *shop.Shop, r *rand.Rand, span time.Duration) {
	h.T.Helper()
	time.Sleep(time.Duration(r.Int64N(int64(span)))) // the random moment is what is tested
	h.Kill()
	h.Restart()
}

// span measures how long something takes undisturbed, with some margin to hit what comes after it as well.
func span(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)*5/4 + 20*time.Millisecond
}

// rounds is how often each kind of job is killed.
func rounds(t *testing.T) int { return seeds.Rounds(t, 6, 1000) }

func TestAnImportThatIsKilledFinishesOnce(t *testing.T) {
	r := seeds.Random(t)
	h := shop.Open(t, server.Start(t))
	versions := [][][]string{shop.Generate(500, 100, 20_000, 3).Interactions, shop.Generate(400, 90, 15_000, 4).Interactions}
	length := span(func() { h.Load(h.Interactions, versions[1]) })
	for round := range rounds(t) {
		rows := versions[round%2]
		arn := h.StartImport(h.Interactions, rows, "FULL")
		interrupt(h, r, length)
		if d := h.Wait("datasetImportJob", arn); d["status"] != "ACTIVE" {
			t.Fatalf("round %d ended %v: %v", round, d["status"], d["failureReason"])
		}
		if got := h.Export(h.Interactions, "BULK"); !slices.Equal(shop.Lines(got), shop.Lines(rows)) {
			t.Fatalf("round %d: %d rows after the import, want %d", round, len(got)-1, len(rows)-1)
		}
	}
}

func TestAnIncrementalImportThatIsKilledAddsItsRowsOnce(t *testing.T) {
	r := seeds.Random(t)
	h := shop.Open(t, server.Start(t))
	all := shop.Generate(300, 80, 2_000+500*rounds(t), 5).Interactions
	h.Load(h.Interactions, all[:2001])
	const step = 500
	length := 150 * time.Millisecond
	for end := 2001 + step; end <= len(all); end += step {
		rows := append([][]string{all[0]}, all[end-step:end]...)
		var arn string
		length = max(length, span(func() { arn = h.StartImport(h.Interactions, rows, "INCREMENTAL") }))
		interrupt(h, r, length)
		if d := h.Wait("datasetImportJob", arn); d["status"] != "ACTIVE" {
			t.Fatalf("import ended %v: %v", d["status"], d["failureReason"])
		}
	}
	if diff := cmp.Diff(shop.Lines(all), shop.Lines(h.Export(h.Interactions, "BULK"))); diff != "" {
		t.Errorf("rows after all imports:\n%s", diff)
	}
}

func TestAnExportThatIsKilledFinishesWhole(t *testing.T) {
	r := seeds.Random(t)
	h := shop.Open(t, server.Start(t))
	rows := shop.Generate(500, 100, 20_000, 6).Interactions
	h.Load(h.Interactions, rows)
	length := span(func() { h.Export(h.Interactions, "BULK") })
	for round := range rounds(t) {
		arn, prefix := h.StartExport(h.Interactions, "BULK")
		interrupt(h, r, length)
		if d := h.Wait("datasetExportJob", arn); d["status"] != "ACTIVE" {
			t.Fatalf("round %d ended %v: %v", round, d["status"], d["failureReason"])
		}
		if got := shop.FromCSV(t, h.Download(h.Objects, prefix)); !slices.Equal(shop.Lines(got), shop.Lines(rows)) {
			t.Fatalf("round %d exported %d rows, want %d", round, len(got)-1, len(rows)-1)
		}
	}
}

func TestADeletionThatIsKilledForgetsTheSameRows(t *testing.T) {
	r := seeds.Random(t)
	h := shop.Open(t, server.Start(t))
	d := shop.Generate(400, 90, 8_000, 7)
	h.LoadAll(d)
	h.Version(h.Solution("aws-user-personalization-v2"))
	left, profiles := d.Interactions, d.Profiles
	forget := func(n int, wait func(arn string) server.M) {
		gone := d.Users[:n]
		d.Users = d.Users[n:]
		kept, keptProfiles := shop.Without(left, gone...), shop.Without(profiles, gone...)
		done := wait(h.StartDeletion(gone...))
		if want := len(left) - len(kept) + n; done["status"] != "COMPLETED" || done["numDeleted"] != float64(want) {
			t.Fatalf("ended %v (%v) with %v rows deleted, want %d", done["status"], done["failureReason"], done["numDeleted"], want)
		}
		left, profiles = kept, keptProfiles
	}
	length := span(func() { forget(2, func(arn string) server.M { return h.Wait("dataDeletionJob", arn) }) })
	for range rounds(t) {
		forget(1+r.IntN(4), func(arn string) server.M {
			interrupt(h, r, length)
			return h.Wait("dataDeletionJob", arn)
		})
		if got := h.Export(h.Interactions, "ALL"); !slices.Equal(shop.Lines(got), shop.Lines(left)) {
			t.Fatalf("%d rows are left, want %d", len(got)-1, len(left)-1)
		}
	}
	if diff := cmp.Diff(shop.Lines(profiles), shop.Lines(h.Export(h.People, "ALL"))); diff != "" {
		t.Errorf("profiles that are left:\n%s", diff)
	}
	all := shop.Generate(400, 90, 8_000, 7)
	h.AssertNoBytesOf(all.Users[:len(all.Users)-len(d.Users)]...)

	never := shop.Open(t, server.Start(t))
	never.Load(never.Interactions, left)
	never.Load(never.Items, all.Items)
	never.Load(never.People, profiles)
	never.Version(never.Solution("aws-user-personalization-v2"))
	if diff := cmp.Diff(never.ModelBytes(), h.ModelBytes()); diff != "" {
		t.Errorf("the model differs from one that never saw the users:\n%s", diff)
	}
}

// The mask is on disk, but the step that put it there is not recorded: from here on the list is no more needed.
func TestADeletionThatIsKilledAsItsMaskComesIntoForceFinishesWithoutItsList(t *testing.T) {
	h := shop.Open(t, server.Start(t))
	d := shop.Generate(60, 20, 1_000, 9)
	h.Load(h.Interactions, d.Interactions)
	h.Stop()
	h.Args("--hold", "500ms") // the call is answered before the job goes on
	h.Env = []string{"PALATE_CRASH=erase/hide:2"}
	h.Restart()
	arn := h.StartDeletion(d.Users[0])
	if !h.Died(t.Context()) {
		t.Fatal("the server did not come by the point of its crash")
	}
	if err := os.RemoveAll(filepath.Join(h.Data, "buckets", "shop", "forget")); err != nil {
		t.Fatal(err)
	}
	h.Env = nil
	h.Restart()
	if done := h.Wait("dataDeletionJob", arn); done["status"] != "COMPLETED" {
		t.Fatalf("ended %v: %v", done["status"], done["failureReason"])
	}
	left := shop.Without(d.Interactions, d.Users[0])
	if got := h.Export(h.Interactions, "ALL"); !slices.Equal(shop.Lines(got), shop.Lines(left)) {
		t.Errorf("%d rows are left, want %d", len(got)-1, len(left)-1)
	}
}

func TestATrainingThatIsKilledGivesTheSameModel(t *testing.T) {
	r := seeds.Random(t)
	h := shop.Open(t, server.Start(t))
	d := shop.Generate(200, 150, 6_000, 8)
	h.LoadAll(d)
	solution := h.Solution("aws-user-personalization-v2")
	var want string
	length := span(func() { want = metrics(h, h.Version(solution)) })
	reference := h.ModelBytesOfNewest()
	for round := range rounds(t) {
		arn := h.Must("CreateSolutionVersion", server.M{"solutionArn": solution})["solutionVersionArn"].(string)
		interrupt(h, r, length)
		if d := h.Wait("solutionVersion", arn); d["status"] != "ACTIVE" {
			t.Fatalf("round %d ended %v: %v", round, d["status"], d["failureReason"])
		}
		if got := metrics(h, arn); got != want {
			t.Fatalf("round %d: metrics are %s, want %s", round, got, want)
		}
		if diff := cmp.Diff(reference, h.ModelBytesOfNewest()); diff != "" {
			t.Fatalf("round %d: the model differs from one that was not interrupted:\n%s", round, diff)
		}
	}
}

func metrics(h *shop.Shop, version string) string {
	return fmt.Sprint(h.Must("GetSolutionMetrics", server.M{"solutionVersionArn": version})["metrics"])
}

func TestNoAcknowledgedEventIsLost(t *testing.T) {
	r := seeds.Random(t)
	h := shop.Open(t, server.Start(t))
	tracking := h.Tracker()
	type sent struct {
		mu    sync.Mutex
		acked map[string]bool
		tried int
	}
	s := sent{acked: map[string]bool{}}
	send := func(until <-chan struct{}) {
		for {
			select {
			case <-until:
				return
			default:
			}
			s.mu.Lock()
			s.tried++
			user := fmt.Sprintf("user-%06d", s.tried)
			s.mu.Unlock()
			_, err := h.Call("PutEvents", server.M{"trackingId": tracking, "userId": user, "sessionId": "s",
				"eventList": []server.M{{"eventType": "view", "itemId": "item-1", "sentAt": 1_700_000_000}}})
			var refused *server.APIError
			if errors.As(err, &refused) {
				t.Errorf("PutEvents was refused: %v", err)
				return
			}
			if err != nil {
				return // the connection went with the server: not acknowledged
			}
			s.mu.Lock()
			s.acked[user] = true
			s.mu.Unlock()
		}
	}
	for range rounds(t) {
		until := make(chan struct{})
		var senders sync.WaitGroup
		for range 8 {
			senders.Go(func() { send(until) })
		}
		time.Sleep(time.Duration(r.Int64N(int64(150 * time.Millisecond)))) // the random moment is what is tested
		h.Kill()
		close(until)
		senders.Wait()
		h.Restart()
	}
	times := map[string]int{}
	for _, row := range h.Export(h.Interactions, "ALL")[1:] {
		times[row[0]]++
	}
	lost := 0
	for user := range s.acked {
		if times[user] == 0 {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d acknowledged events are lost", lost, len(s.acked))
	}
	for _, n := range times {
		if n > 1 {
			t.Error("an event that was sent once is stored twice")
			break
		}
	}
	t.Logf("%d events sent, %d acknowledged, %d stored", s.tried, len(s.acked), len(times))
}
