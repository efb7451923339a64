package work

import (
	"context"
	"errors"
	"fmt"
	"path"
	"reflect"
	"time"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/recipe"
)

// deploy is the creation of a campaign: its model is read once, whole, so that an ACTIVE campaign can answer.
func (w *worker) deploy(ctx context.Context, t *job.Task) error {
	c, err := meta.Doc[api.Campaign](t.Resource())
	if err != nil {
		return err
	}
	if err := t.Status(ctx, meta.CreateInProgress); err != nil {
		return err
	}
	moved, err := w.openFor(ctx, c.CampaignARN, c.SolutionVersionARN)
	if err != nil {
		return err
	}
	defer moved()
	return t.Done(ctx, func(_ *meta.Tx, r *meta.Resource) error {
		r.Status = meta.Active
		return nil
	})
}

// openFor opens the model of a solution version for a campaign that is about to serve it, which verifies every byte of it.
func (w *worker) openFor(ctx context.Context, campaign, version string) (moved func(), err error) {
	r, err := w.get(ctx, version)
	if err != nil {
		return nil, err
	}
	p, err := meta.Private[meta.ModelPrivate](r)
	if err != nil {
		return nil, err
	}
	if p.Model == "" {
		return nil, job.Fail("%s has no trained model.", version)
	}
	if moved, err = w.Open(ctx, campaign, p.Model); err != nil {
		return nil, fmt.Errorf("open the model of %s: %w", version, err)
	}
	return moved, nil
}

// recommend is the creation of a recommender: training and deployment in one.
func (w *worker) recommend(ctx context.Context, t *job.Task) error {
	if err := t.Status(ctx, meta.CreateInProgress); err != nil {
		return err
	}
	d, err := meta.Doc[api.Recommender](t.Resource())
	if err != nil {
		return err
	}
	plan, err := recommenderPlan(&d)
	if err != nil {
		return err
	}
	open := func(ctx context.Context, made string) (func(), error) { return w.Open(ctx, d.RecommenderARN, made) }
	return w.trainModel(ctx, t, d.DatasetGroupARN, plan, opening(t, t.Done, open), func(tx *meta.Tx, r *meta.Resource, m *recipe.Manifest, p meta.ModelPrivate) error {
		r.Status = meta.Active
		return recommenderTrained(tx, r, m, p)
	})
}

// recommenderTrained writes a model and its metrics into the row of a recommender.
func recommenderTrained(_ *meta.Tx, r *meta.Resource, m *recipe.Manifest, p meta.ModelPrivate) error {
	d, err := meta.Doc[api.Recommender](r)
	if err != nil {
		return err
	}
	d.ModelMetrics = m.Metrics
	return errors.Join(r.SetPrivate(p), r.SetDoc(d))
}

// retrain is the regular full training of a recommender, which serves its old model meanwhile.
func (w *worker) retrain(ctx context.Context, t *job.Task) error {
	d, err := meta.Doc[api.Recommender](t.Resource())
	if err != nil {
		return err
	}
	plan, err := recommenderPlan(&d)
	if err != nil {
		return err
	}
	if err := w.replaceModel(ctx, t, plan, recommenderTrained); err != nil {
		return err
	}
	return t.Done(ctx, func(*meta.Tx, *meta.Resource) error { return nil })
}

// retrainFailed leaves the recommender as it was, with its old model, until its next regular training. The reason stands where `palate jobs` finds it: Describe
// has no place for it, because nothing that the customer asked for has failed.
func retrainFailed(r *meta.Resource, reason string) {
	p, err := meta.Private[meta.ModelPrivate](r)
	if err != nil {
		return // it cannot be read: the resource stays as it is, for an operator to see
	}
	p.Failed, p.Failure = time.Now().UTC(), reason
	if err := r.SetPrivate(p); err != nil {
		return
	}
}

// toggle stops or starts a recommender. Its model stays; an INACTIVE one is not served.
func (w *worker) toggle(ctx context.Context, t *job.Task) error {
	between, end := meta.StopInProgress, meta.Inactive
	if s := t.Resource().Status; s == meta.StartPending || s == meta.StartInProgress {
		between, end = meta.StartInProgress, meta.Active
	}
	if err := t.Status(ctx, between); err != nil {
		return err
	}
	return t.Done(ctx, func(_ *meta.Tx, r *meta.Resource) error {
		r.Status = end
		return nil
	})
}

// update carries out the pending change of a dataset, solution, campaign or recommender. The old configuration stays in force until the new one is ready.
func (w *worker) update(ctx context.Context, t *job.Task) error {
	switch kind := t.Resource().Kind; kind {
	case meta.Dataset:
		return w.updateDataset(ctx, t)
	case meta.Solution:
		return updateDoc(ctx, t, nil, func(s *api.Solution) (*string, *api.Time) {
			return &s.LatestSolutionUpdate.Status, &s.LatestSolutionUpdate.LastUpdatedDateTime
		}, applySolution)
	case meta.Campaign:
		return w.updateCampaign(ctx, t)
	case meta.Recommender:
		return updateDoc(ctx, t, func(ctx context.Context, r *api.Recommender) error { return w.trainUpdated(ctx, t, r) },
			func(r *api.Recommender) (*string, *api.Time) {
				return &r.LatestRecommenderUpdate.Status, &r.LatestRecommenderUpdate.LastUpdatedDateTime
			}, applyRecommender)
	default:
		return fmt.Errorf("%s cannot be updated", kind)
	}
}

// updateDoc walks the status of an update summary to ACTIVE and applies the summary to its resource in one transaction.
func updateDoc[T any](ctx context.Context, t *job.Task, check func(context.Context, *T) error, status func(*T) (status *string, at *api.Time), apply func(*T, *meta.Resource)) error {
	err := t.Advance(ctx, func(_ *meta.Tx, r *meta.Resource) error {
		d, err := meta.Doc[T](r)
		if err != nil {
			return err
		}
		set, at := status(&d)
		*set, *at = meta.CreateInProgress, api.NewTime(time.Now())
		return r.SetDoc(d)
	})
	if err != nil {
		return err
	}
	d, err := meta.Doc[T](t.Resource())
	if err != nil {
		return err
	}
	if check != nil {
		if err := check(ctx, &d); err != nil {
			return err
		}
	}
	return t.Done(ctx, func(_ *meta.Tx, r *meta.Resource) error {
		d, err := meta.Doc[T](r)
		if err != nil {
			return err
		}
		set, at := status(&d)
		*set, *at = meta.Active, api.NewTime(time.Now())
		apply(&d, r)
		return r.SetDoc(d)
	})
}

// updateCampaign moves a campaign to another model once that is open.
func (w *worker) updateCampaign(ctx context.Context, t *job.Task) error {
	moved := func() {}
	open := func(ctx context.Context, c *api.Campaign) error {
		m, err := w.openFor(ctx, c.CampaignARN, c.LatestCampaignUpdate.SolutionVersionARN)
		if err == nil {
			moved = m
		}
		return err
	}
	defer func() { moved() }()
	return updateDoc(ctx, t, open, func(c *api.Campaign) (*string, *api.Time) {
		return &c.LatestCampaignUpdate.Status, &c.LatestCampaignUpdate.LastUpdatedDateTime
	}, applyCampaign)
}

func applyCampaign(c *api.Campaign, r *meta.Resource) {
	u := c.LatestCampaignUpdate
	c.SolutionVersionARN, c.MinProvisionedTPS, c.CampaignConfig = u.SolutionVersionARN, u.MinProvisionedTPS, u.CampaignConfig
	r.Parent = path.Dir(u.SolutionVersionARN) // the solution: its ARN is that of the version without the last part
	r.Status, r.Failure = meta.Active, ""     // an update revives a campaign whose creation failed
}

func applySolution(s *api.Solution, _ *meta.Resource) {
	u := s.LatestSolutionUpdate
	if u.PerformAutoTraining != nil {
		s.PerformAutoTraining = u.PerformAutoTraining
	}
	if u.PerformIncrementalUpdate != nil {
		s.PerformIncrementalUpdate = u.PerformIncrementalUpdate
	}
	if c := u.SolutionUpdateConfig; c != nil {
		if s.SolutionConfig == nil {
			s.SolutionConfig = &api.SolutionConfig{}
		}
		if c.AutoTrainingConfig != nil {
			s.SolutionConfig.AutoTrainingConfig = c.AutoTrainingConfig
		}
		if c.EventsConfig != nil {
			s.SolutionConfig.EventsConfig = c.EventsConfig
		}
	}
}

func applyRecommender(rec *api.Recommender, _ *meta.Resource) {
	rec.RecommenderConfig = rec.LatestRecommenderUpdate.RecommenderConfig
}

// trainUpdated trains a recommender anew whose update chooses other columns to train on.
func (w *worker) trainUpdated(ctx context.Context, t *job.Task, d *api.Recommender) error {
	updated := *d
	updated.RecommenderConfig = d.LatestRecommenderUpdate.RecommenderConfig
	before, err := recommenderPlan(d)
	if err != nil {
		return err
	}
	plan, err := recommenderPlan(&updated)
	if err != nil || reflect.DeepEqual(before.columns, plan.columns) {
		return err
	}
	return w.replaceModel(ctx, t, plan, recommenderTrained)
}

// updateDataset replaces the schema of a dataset by one with more columns.
func (w *worker) updateDataset(ctx context.Context, t *job.Task) error {
	err := t.Advance(ctx, func(_ *meta.Tx, r *meta.Resource) error {
		d, err := meta.Doc[api.Dataset](r)
		if err != nil {
			return err
		}
		d.LatestDatasetUpdate.Status = meta.UpdateInProgress
		r.Status = meta.UpdateInProgress
		return r.SetDoc(d)
	})
	if err != nil {
		return err
	}
	begun, err := meta.Private[meta.DatasetPrivate](t.Resource())
	if err != nil {
		return err
	}
	table, err := tableUnder(t.Resource(), begun, begun.NextSchema)
	if err != nil {
		return err
	}
	if err := w.Engine.AlterTable(ctx, table); err != nil {
		return err
	}
	return t.Done(ctx, func(_ *meta.Tx, r *meta.Resource) error {
		p, err := meta.Private[meta.DatasetPrivate](r) // an import may have ended meanwhile
		if err != nil {
			return err
		}
		d, err := meta.Doc[api.Dataset](r)
		if err != nil {
			return err
		}
		u := d.LatestDatasetUpdate
		u.Status, u.LastUpdatedDateTime = meta.Active, api.NewTime(time.Now())
		d.SchemaARN = u.SchemaARN
		if err := noteAdded(&p, table.Schema, time.Now()); err != nil {
			return err
		}
		p.Schema, p.NextSchema = p.NextSchema, ""
		r.Status = meta.Active
		return errors.Join(r.SetDoc(d), r.SetPrivate(p))
	})
}

// updateFailed keeps the old configuration and writes the failure into the update's summary.
func updateFailed(r *meta.Resource, reason string) {
	switch r.Kind {
	case meta.Dataset:
		failUpdate(r, reason, func(d *api.Dataset) (status, failure *string, at *api.Time) {
			u := d.LatestDatasetUpdate
			return &u.Status, &u.FailureReason, &u.LastUpdatedDateTime
		})
		r.Status = meta.Active
	case meta.Solution:
		failUpdate(r, reason, func(d *api.Solution) (status, failure *string, at *api.Time) {
			u := d.LatestSolutionUpdate
			return &u.Status, &u.FailureReason, &u.LastUpdatedDateTime
		})
	case meta.Campaign:
		failUpdate(r, reason, func(d *api.Campaign) (status, failure *string, at *api.Time) {
			u := d.LatestCampaignUpdate
			return &u.Status, &u.FailureReason, &u.LastUpdatedDateTime
		})
	case meta.Recommender:
		failUpdate(r, reason, func(d *api.Recommender) (status, failure *string, at *api.Time) {
			u := d.LatestRecommenderUpdate
			return &u.Status, &u.FailureReason, &u.LastUpdatedDateTime
		})
	}
}

func failUpdate[T any](r *meta.Resource, reason string, members func(*T) (status, failure *string, at *api.Time)) {
	d, err := meta.Doc[T](r)
	if err != nil {
		return // the record cannot be read: it stays as it is, with its update pending, for an operator to see
	}
	status, failure, at := members(&d)
	*status, *failure, *at = meta.CreateFailed, reason, api.NewTime(time.Now())
	if err := r.SetDoc(d); err != nil {
		r.Failure = reason
	}
}
