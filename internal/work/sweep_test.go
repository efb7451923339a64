package work

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
)

func TestOnlyModelsThatNobodyNamesAreSwept(t *testing.T) {
	ctx := context.Background()
	db, err := meta.Open(filepath.Join(t.TempDir(), "meta.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	row := func(kind, name, status string, private any, j meta.Job) *meta.Resource {
		r := &meta.Resource{ARN: "arn:" + name, Kind: kind, Name: name, Status: status, Doc: json.RawMessage(`{}`), Job: j}
		if err := r.SetPrivate(private); err != nil {
			t.Fatal(err)
		}
		return r
	}
	checkpoint := func(v any) json.RawMessage {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	err = db.Update(ctx, func(tx *meta.Tx) error {
		for _, r := range []*meta.Resource{
			row(meta.SolutionVersion, "trained", meta.Active, meta.ModelPrivate{Model: "model-active"}, meta.Job{}),
			row(meta.SolutionVersion, "training", meta.CreateInProgress, nil, meta.Job{Kind: job.Train, Checkpoint: checkpoint(trainingAttempt{Model: "model-training"})}),
			row(meta.SolutionVersion, "stopped", meta.CreateStopped, nil, meta.Job{}), // and left model-stopped
			row(meta.Recommender, "inactive", meta.Inactive, meta.ModelPrivate{Model: "model-inactive"}, meta.Job{}),
			row(meta.DeletionJob, "running", meta.InProgress, nil,
				meta.Job{Kind: job.Erase, Checkpoint: checkpoint(erasure{Models: []rebuiltModel{{Old: "model-old", New: "model-new"}}})}),
			row(meta.DeletionJob, "finished", meta.Completed, erasure{Models: []rebuiltModel{{Old: "model-erased"}}}, meta.Job{}),
		} {
			if err := tx.Insert(r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	models := t.TempDir()
	kept := []string{"model-active", "model-inactive", "model-new", "model-old", "model-training"}
	fill := func() {
		for _, name := range append([]string{"model-stopped", "model-erased", "model-act"}, kept...) {
			if err := os.MkdirAll(filepath.Join(models, name), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(models, name, "users"), []byte("an id"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	w := &worker{Options: Options{Meta: db, Models: models}}
	for what, sweep := range map[string]func() error{
		"at start":         func() error { return SweepModels(ctx, db, models) },
		"beside the queue": func() error { return w.destroyUnnamed(ctx) },
	} {
		fill()
		if err := sweep(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		entries, err := os.ReadDir(models)
		if err != nil {
			t.Fatal(err)
		}
		var left []string
		for _, e := range entries {
			left = append(left, e.Name())
		}
		if diff := cmp.Diff(kept, left); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	if err := SweepModels(ctx, db, filepath.Join(models, "none")); err != nil {
		t.Errorf("before the first training: %v", err)
	}
}
