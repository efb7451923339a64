package work

import (
	"context"
	"errors"
	"fmt"

	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
)

// activate is the creation of everything that needs no long work.
func (w *worker) activate(ctx context.Context, t *job.Task) error {
	if err := t.Status(ctx, meta.CreateInProgress); err != nil {
		return err
	}
	if t.Resource().Kind == meta.Dataset {
		table, err := tableOf(t.Resource())
		if err != nil {
			return err
		}
		if err := w.Engine.CreateTable(ctx, table); err != nil {
			return err
		}
	}
	if t.Resource().Kind == meta.MetricAttribution {
		if err := w.checkReports(ctx, t.Resource()); err != nil {
			return err
		}
	}
	return t.Done(ctx, func(_ *meta.Tx, r *meta.Resource) error {
		r.Status = meta.Active
		return nil
	})
}

// remove deletes what a resource stores, then its record. Control has checked that nothing depends on it.
func (w *worker) remove(ctx context.Context, t *job.Task) error {
	if err := t.Status(ctx, meta.DeleteInProgress); err != nil {
		return err
	}
	r := t.Resource()
	if err := w.removeStored(ctx, r); err != nil {
		return fmt.Errorf("remove %s: %w", r.ARN, err)
	}
	return t.Done(ctx, func(tx *meta.Tx, r *meta.Resource) error {
		owned, err := ownedBy(tx, r)
		if err != nil {
			return err
		}
		for _, o := range owned {
			if err := tx.Delete(o.ARN); err != nil {
				return err
			}
		}
		return tx.Delete(r.ARN)
	})
}

func (w *worker) removeStored(ctx context.Context, r *meta.Resource) error {
	switch r.Kind {
	case meta.Dataset:
		table, err := tableOf(r)
		if err != nil {
			return err
		}
		return w.Engine.DropTable(ctx, table)
	case meta.DatasetGroup:
		p, err := meta.Private[meta.GroupPrivate](r)
		if err != nil {
			return err
		}
		return errors.Join(w.Engine.DropGroup(ctx, p.ID), w.ForgetAnswers(p.ID))
	case meta.MetricAttribution:
		return w.forgetCounts(ctx, r)
	case meta.Recommender:
		return w.removeModel(ctx, r)
	case meta.Solution:
		versions, err := w.find(ctx, meta.Query{Kind: meta.SolutionVersion, Parent: r.ARN})
		if err != nil {
			return err
		}
		for _, v := range versions {
			if err := w.removeModel(ctx, v); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *worker) removeModel(ctx context.Context, r *meta.Resource) error {
	p, err := meta.Private[meta.ModelPrivate](r)
	if err != nil || p.Model == "" {
		return err
	}
	if err := w.Retire(ctx, p.Model); err != nil {
		return err
	}
	return w.destroyModel(p.Model)
}

// ownedBy lists the records that vanish with a resource: the versions of a solution, the finished jobs of a group.
func ownedBy(tx *meta.Tx, r *meta.Resource) ([]*meta.Resource, error) {
	switch r.Kind {
	case meta.Solution:
		return tx.Find(meta.Query{Kind: meta.SolutionVersion, Parent: r.ARN})
	case meta.DatasetGroup:
		return tx.Find(meta.Query{Group: r.ARN})
	}
	return nil, nil
}
