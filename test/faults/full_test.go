package faults

import (
	"encoding/json"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palate-dev/palate/test/seeds"
	"github.com/palate-dev/palate/test/server"
	"github.com/palate-dev/palate/test/shop"
)

// fill leaves little room on the disk. hidden: by a quota, so that the disk says that it has room and writes fail nevertheless.
func (b *bench) fill(free int64) (hidden bool) {
	if hidden = b.r.IntN(2) == 0; hidden {
		b.disk.Quota(free)
	} else {
		b.disk.Fill(free)
	}
	return hidden
}

// full lets a test meet full disks of its seeds.
func full(t *testing.T, events int, run func(b *bench)) {
	seeds.Each(t, 1, 100, func(t *testing.T, r *rand.Rand) { run(openBenchOf(t, r, events)) })
}

// outcome waits until a job has ended, or the server has said that it cannot write down how. Then there is room again, and the job must end.
func (b *bench) outcome(noun, arn string) server.M {
	b.T.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); <-time.After(5 * time.Millisecond) {
		d, err := b.Describe(noun, arn)
		status, _ := d["status"].(string)
		if err == nil && (status == "ACTIVE" || strings.HasSuffix(status, "FAILED")) {
			b.disk.Heal()
			return d
		}
		if strings.Contains(b.Log(), `msg="settle job"`) {
			b.T.Log("the outcome could not be written")
			break
		}
	}
	if !b.Running() {
		b.T.Fatal("the server ended on a full disk")
	}
	b.disk.Heal()
	return b.Wait(noun, arn)
}

// failedForRoom asserts that a job has ended in want's status, or has failed with a reason that names the full disk.
func (b *bench) failedForRoom(d server.M) (failed bool) {
	b.T.Helper()
	if d["status"] == "ACTIVE" {
		return false
	}
	if reason, _ := d["failureReason"].(string); !strings.Contains(reason, "disk of the data directory") {
		b.T.Errorf("ended %v: %q", d["status"], reason)
	}
	return true
}

// stored lists the files of the datasets and of the models and, in the directories of buckets, those that are no objects: what failed jobs must not add to.
func (b *bench) stored() (files []string) {
	b.T.Helper()
	err := filepath.WalkDir(b.Data, func(path string, e fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(b.Data, path)
		switch {
		case err != nil || e.IsDir():
			return err
		case strings.HasPrefix(rel, "store/models/"), strings.HasSuffix(rel, ".parquet"), strings.Contains(rel, "/staging/"), strings.Contains(rel, "/incoming/"), strings.Contains(rel, ".sgwtmp/"):
			files = append(files, rel)
		}
		return nil
	})
	if err != nil {
		b.T.Fatal(err)
	}
	return files
}

func TestAnImportOnAFullDiskFailsAndLeavesNothing(t *testing.T) {
	full(t, 600, func(b *bench) {
		mode := []string{"FULL", "INCREMENTAL"}[b.r.IntN(2)]
		next := shop.Generate(40, 20, 20_000, b.r.Uint64()).Interactions
		b.Upload(b.Objects, "next.csv", shop.ToCSV(next))
		before := b.stored()
		hidden := b.fill(int64(b.r.IntN(200 << 10)))
		d := b.outcome("datasetImportJob", b.StartImportOf(b.Interactions, "next.csv", mode))
		if b.failedForRoom(d) {
			if after := b.stored(); !slices.Equal(after, before) {
				b.T.Errorf("after the failure there are %d files, before there were %d", len(after), len(before))
			}
		} else {
			if !hidden {
				b.T.Error("an import took the last room of the disk")
			}
			if b.rows = next; mode == "INCREMENTAL" {
				b.rows = slices.Concat(b.data.Interactions, next[1:])
			}
		}
		b.check()
	})
}

func TestAnExportOnAFullDiskFailsAndLeavesNothing(t *testing.T) {
	full(t, 20_000, func(b *bench) {
		before := b.stored()
		b.fill(int64(b.r.IntN(200 << 10)))
		arn, prefix := b.StartExport(b.Interactions, "ALL")
		if !b.failedForRoom(b.outcome("datasetExportJob", arn)) {
			b.T.Error("the export was written to a full disk")
		}
		if found, err := b.Objects.List(b.T.Context(), prefix); err != nil || len(found) > 0 {
			b.T.Errorf("the failed export has left %v (%v)", found, err)
		}
		if after := b.stored(); !slices.Equal(after, before) {
			b.T.Errorf("after the failure there are %d files, before there were %d", len(after), len(before))
		}
		b.check()
	})
}

func TestATrainingOnAFullDiskFailsAndLeavesNothing(t *testing.T) {
	full(t, 20_000, func(b *bench) {
		recipe := []string{"aws-user-personalization", "aws-popularity-count", "aws-sims"}[b.r.IntN(3)]
		solution := b.Solution(recipe)
		first := b.Version(solution)
		campaign := ""
		if recipe != "aws-sims" { // which answers for items
			campaign = b.Make("CreateCampaign", "campaign", server.M{"name": "front", "solutionVersionArn": first})
		}
		before := b.stored()
		b.fill(int64(b.r.IntN(200 << 10)))
		d := b.outcome("solutionVersion", b.Must("CreateSolutionVersion", server.M{"solutionArn": solution})["solutionVersionArn"].(string))
		if !b.failedForRoom(d) {
			b.T.Error("a model was written to a full disk")
		}
		if after := b.stored(); !slices.Equal(after, before) {
			b.T.Errorf("after the failure there are the files %v, before there were %v", after, before)
		}
		if campaign != "" {
			if got := b.Recommend(campaign, b.data.Users[0], 5); len(got) != 5 {
				b.T.Errorf("after the failure the first model answers %v", got)
			}
		}
		b.Version(solution) // there is room again
		b.check()
	})
}

// A deletion waits for room, says so, and goes on by itself: it neither fails nor ends before its time.
func TestADeletionOnAFullDiskWaitsForRoom(t *testing.T) {
	full(t, 600, func(b *bench) {
		hidden := b.fill(50<<10 + int64(b.r.IntN(150<<10))) // the list needs some
		arn, check := works["deletion"].start(b)
		ended := func() bool {
			d, err := b.Describe("dataDeletionJob", arn)
			if err == nil && (d["status"] == "FAILED" || d["status"] == "COMPLETED" && !hidden) {
				b.T.Fatalf("the deletion on a full disk ended %v: %v", d["status"], d["failureReason"])
			}
			return err == nil && d["status"] == "COMPLETED"
		}
		until := func(is func(jobShown) bool) {
			for deadline := time.Now().Add(time.Minute); !ended() && !is(b.shown(arn)); <-time.After(20 * time.Millisecond) {
				if !b.Running() {
					b.T.Fatal("the server ended on a full disk")
				}
				if time.Now().After(deadline) {
					b.T.Fatalf("the deletion neither waits nor ends: %+v", b.shown(arn))
				}
			}
		}
		waits := func(j jobShown) bool { return strings.Contains(j.Waiting, "disk of the data directory") }
		until(waits)
		b.fill(0) // and still it can be told what becomes of the job
		attempt := b.shown(arn).Attempt
		until(func(j jobShown) bool { return j.Attempt > attempt && waits(j) })
		b.disk.Heal()
		b.finish("deletion", works["deletion"], arn, check)
		if j := b.shown(arn); j.Waiting != "" {
			b.T.Errorf("after its end it waits: %s", j.Waiting)
		}
		b.check()
	})
}

type jobShown struct {
	Attempt int
	Waiting string
}

// shown is what `palate jobs` shows of a job.
func (b *bench) shown(arn string) (j jobShown) {
	b.T.Helper()
	binary, err := server.Binary()
	if err != nil {
		b.T.Fatal(err)
	}
	cmd := exec.Command(binary, "jobs", "--data", b.Data, "--json", arn)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		b.T.Fatalf("palate jobs: %v", err)
	}
	if err := json.Unmarshal(out, &j); err != nil {
		b.T.Fatal(err)
	}
	return j
}

// Puts are refused in a way that clients try again, what was acknowledged is kept, and what is stored is served.
func TestEventsOnAFullDisk(t *testing.T) {
	full(t, 600, func(b *bench) {
		tracking := b.Tracker()
		campaign := b.Make("CreateCampaign", "campaign", server.M{"name": "front", "solutionVersionArn": b.Version(b.Solution("aws-user-personalization"))})
		put := func(user string) error {
			_, err := b.Call("PutEvents", server.M{"trackingId": tracking, "userId": user, "sessionId": "s",
				"eventList": []server.M{{"eventType": "view", "itemId": "item-0001", "sentAt": 1_700_000_000}}})
			return err
		}
		b.fill(int64(b.r.IntN(64 << 10)))
		acked := 0
		var refused *server.APIError
		for n := 0; n < 2000 && refused == nil; n++ {
			switch err := put("event-user"); {
			case err == nil:
				acked++
			case !errors.As(err, &refused):
				b.T.Fatalf("PutEvents on a full disk: %v", err)
			}
		}
		if refused == nil {
			b.T.Fatal("the disk did not fill")
		}
		if refused.Status != 503 {
			b.T.Errorf("PutEvents on a full disk answers %v", refused)
		}
		if got := b.Recommend(campaign, b.data.Users[0], 5); len(got) != 5 {
			b.T.Errorf("a full disk, and GetRecommendations answers %v", got)
		}
		b.disk.Heal()
		if err := put("late-user"); err != nil {
			b.T.Errorf("put on a disk with room again: %v", err)
		}
		if acked > 0 { // equal events are exported once
			b.rows = append(b.rows, []string{"event-user", "item-0001", "1700000000", "view", ""})
		}
		b.rows = append(b.rows, []string{"late-user", "item-0001", "1700000000", "view", ""})
		b.check()
	})
}
