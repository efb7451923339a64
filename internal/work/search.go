package work

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"

	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/verify"
)

// modelUses tells verification what the model directories are there for, as seen from one dataset group.
type modelUses struct {
	*worker
	group string
}

// StillModel keeps a model directory from being destroyed while look runs.
func (m modelUses) StillModel(ctx context.Context, name string, look func(verify.Use) error) error {
	defer m.dirs.read(name)() // before looking whether it is there to stay
	var use verify.Use
	err := m.Meta.View(ctx, func(tx *meta.Tx) (err error) {
		use, err = m.use(tx, name)
		return err
	})
	if err != nil {
		return fmt.Errorf("find out whose a model is: %w", err)
	}
	return look(use)
}

func (m modelUses) use(tx *meta.Tx, name string) (verify.Use, error) {
	for _, kind := range []string{meta.SolutionVersion, meta.Recommender} {
		rows, err := tx.Find(meta.Query{Kind: kind})
		if err != nil {
			return verify.Unnamed, err
		}
		for _, r := range rows {
			p, err := meta.Private[meta.ModelPrivate](r)
			if err != nil {
				return verify.Unnamed, err
			}
			if p.Model == name {
				return m.ours(r, verify.Serving), nil
			}
		}
	}
	for _, kind := range append([]string{job.Erase}, trainingKinds...) {
		rows, err := tx.Find(meta.Query{JobKind: kind})
		if err != nil {
			return verify.Unnamed, err
		}
		for _, r := range rows {
			if named, err := m.making(r, name); err != nil || named {
				return m.ours(r, verify.Making), err
			}
		}
	}
	return verify.Unnamed, nil
}

func (m modelUses) ours(r *meta.Resource, use verify.Use) verify.Use {
	if r.Group != m.group {
		return verify.Elsewhere
	}
	return use
}

// making tells whether a job is writing the model. A deletion of another group may also still have the models that it has replaced.
func (m modelUses) making(r *meta.Resource, name string) (bool, error) {
	if len(r.Job.Checkpoint) == 0 {
		return false, nil
	}
	if r.Job.Kind != job.Erase {
		var a trainingAttempt
		err := json.Unmarshal(r.Job.Checkpoint, &a)
		return a.Model == name || a.Replaced == name, err
	}
	var e erasure
	if err := json.Unmarshal(r.Job.Checkpoint, &e); err != nil {
		return false, err
	}
	for _, model := range e.Models {
		if model.New == name || model.Old == name && r.Group != m.group {
			return true, nil
		}
	}
	return false, nil
}

// rows gathers what the rows of the metadata database say, apart from what the customer has said: names, locations, schemas, expressions, tags, and failure
// reasons, which name his files.
func (w *worker) rows(ctx context.Context) (ours, customers []byte, err error) {
	var mine, theirs bytes.Buffer
	err = w.Meta.View(ctx, func(tx *meta.Tx) error {
		rows, err := tx.Find(meta.Query{})
		if err != nil {
			return err
		}
		for _, r := range rows {
			private := &theirs
			switch r.Kind {
			case meta.DatasetGroup, meta.ImportJob, meta.ExportJob, meta.DeletionJob, meta.SolutionVersion, meta.Recommender, meta.BatchInferenceJob, meta.BatchSegmentJob:
				private = &mine
			}
			fmt.Fprintln(private, string(r.Private))
			fmt.Fprintln(&mine, string(r.Job.Checkpoint), string(r.Job.Progress), r.Job.Step)
			fmt.Fprintln(&theirs, r.ARN, r.Name, r.Failure, string(r.Doc))
			tags, err := tx.Tags(r.ARN)
			if err != nil {
				return err
			}
			for key, value := range tags {
				fmt.Fprintln(&theirs, key, value)
			}
		}
		notices, err := tx.Notices(math.MaxInt)
		for _, n := range notices { // of resources that may be gone
			fmt.Fprintln(&theirs, n.ARN, n.Failure)
		}
		return err
	})
	return mine.Bytes(), theirs.Bytes(), err
}
