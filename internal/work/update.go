package work

import (
	"context"
	"errors"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/recipe"
	"github.com/palate-dev/palate/internal/schema"
)

// updateMode is the trainingMode of versions that take over a model and admit new items beside it.
const updateMode = "UPDATE"

// updateModel makes the model of a version in mode UPDATE: the solution's newest trained one, with the items of now.
func (w *worker) updateModel(ctx context.Context, group string, interactions dataset.Table, solution, name string) (*recipe.Manifest, error) {
	for {
		if err := w.erasuresEnded(ctx, group); err != nil {
			return nil, err
		}
		base, err := w.trainedModel(ctx, solution)
		if err != nil {
			return nil, err
		}
		release := w.dirs.read(base)
		again, err := w.trainedModel(ctx, solution)
		if err == nil && again != base { // replaced before it was ours to read
			release()
			continue
		}
		if err != nil {
			release()
			return nil, err
		}
		defer release()
		m, err := recipe.Open(w.model(base))
		if err != nil {
			return nil, err
		}
		fresh, newcomers, err := w.freshItems(ctx, group, interactions, m)
		if err = errors.Join(err, m.Close()); err != nil {
			return nil, err
		}
		return recipe.Update(ctx, w.model(base), fresh, newcomers, w.model(name))
	}
}

// erasuresEnded waits until no data deletion of the group runs. Only then are the models without those who are deleted; a deletion that begins later overtakes
// whoever waited here.
func (w *worker) erasuresEnded(ctx context.Context, group string) error {
	return w.until(ctx, func() (ended bool, err error) {
		err = w.Meta.View(ctx, func(tx *meta.Tx) error {
			running, err := tx.Count(meta.Query{Group: group, JobKind: job.Erase})
			ended = running == 0
			return err
		})
		return ended, err
	})
}

// trainedModel finds the model of the solution's newest version that was trained and not only updated.
func (w *worker) trainedModel(ctx context.Context, solution string) (name string, err error) {
	versions, err := w.find(ctx, meta.Query{Kind: meta.SolutionVersion, Parent: solution, Statuses: []string{meta.Active}})
	if err != nil {
		return "", err
	}
	for _, r := range versions { // newest first
		v, err := meta.Doc[api.SolutionVersion](r)
		if err != nil {
			return "", err
		}
		p, err := meta.Private[meta.ModelPrivate](r)
		if err != nil {
			return "", err
		}
		if v.TrainingMode != updateMode && p.Model != "" {
			return p.Model, nil
		}
	}
	return "", job.Fail("trainingMode UPDATE requires an ACTIVE solution version that was trained in mode FULL.")
}

// freshItems reads what the group's datasets say about items now, and what a model makes of those that it does not know.
func (w *worker) freshItems(ctx context.Context, group string, interactions dataset.Table, m *recipe.Model) (*recipe.Fresh, *recipe.Newcomers, error) {
	items, ok, err := w.tableOfType(ctx, group, schema.Items)
	if err != nil {
		return nil, nil, err
	}
	if !ok {
		fresh, err := recipe.ReadFresh(ctx, w.Engine.Effective, interactions, nil, nil)
		return fresh, nil, err
	}
	fresh, err := recipe.ReadFresh(ctx, w.Engine.Effective, interactions, &items, nil)
	if err != nil {
		return nil, nil, err
	}
	newcomers, err := m.Newcomers(ctx, w.Engine.Effective, items)
	return fresh, newcomers, err
}

// latestFresh is freshItems for a batch job on a version that automatic updates are for: the newest one that was trained. Others have what they were
// trained with: nil.
func (w *worker) latestFresh(ctx context.Context, entry *recipe.Entry, arn string, m *recipe.Model) (*recipe.Fresh, *recipe.Newcomers, error) {
	if !entry.AdmitsItems() {
		return nil, nil, nil
	}
	version, err := w.get(ctx, arn)
	if err != nil {
		return nil, nil, err
	}
	var updates bool
	err = w.Meta.View(ctx, func(tx *meta.Tx) (err error) {
		updates, err = meta.AutomaticallyUpdated(tx, version)
		return err
	})
	if err != nil || !updates {
		return nil, nil, err
	}
	interactions, ok, err := w.tableOfType(ctx, version.Group, schema.Interactions)
	if err != nil || !ok {
		return nil, nil, err
	}
	return w.freshItems(ctx, version.Group, interactions, m)
}
