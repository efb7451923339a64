package control

import (
	"context"
	"errors"
	"time"

	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
)

// RetrainDue starts the full training of every ACTIVE recommender that has not been trained since the last multiple of every from its creation; a training that
// failed counts. One that was stopped meanwhile is due once it is started again. It reports how many trainings it started. As TrainDue it decides from the records
// alone.
func (s *Service) RetrainDue(ctx context.Context, now time.Time, every time.Duration) (started int, err error) {
	return s.startDue(ctx,
		func(tx *meta.Tx) ([]*meta.Resource, error) {
			return tx.Find(meta.Query{Kind: meta.Recommender, Statuses: []string{meta.Active}})
		},
		func(_ *meta.Tx, r *meta.Resource) (bool, error) { return retrainDue(r, now, every) },
		func(r *meta.Resource) (bool, error) { return s.retrain(ctx, r.ARN, now, every) })
}

func retrainDue(r *meta.Resource, now time.Time, every time.Duration) (bool, error) {
	if r.Status != meta.Active || r.Job.Kind != "" {
		return false, nil
	}
	model, err := meta.Private[meta.ModelPrivate](r)
	if err != nil {
		return false, err
	}
	last := r.Created
	for _, t := range []time.Time{model.Read, model.Failed} {
		if t.After(last) {
			last = t
		}
	}
	age := now.Sub(r.Created)
	return r.Created.Add(age - age%every).After(last), nil
}

// retrain starts one that is still due.
func (s *Service) retrain(ctx context.Context, arn string, now time.Time, every time.Duration) (started bool, err error) {
	err = s.update(ctx, func(tx *meta.Tx) error {
		r, err := tx.Get(arn)
		if errors.Is(err, meta.ErrNotFound) {
			return nil // deleted since
		}
		if err != nil {
			return err
		}
		due, err := retrainDue(r, now, every)
		if err != nil || !due {
			return err
		}
		r.Job = meta.Job{Kind: job.Retrain}
		started = true
		return tx.Put(r)
	})
	return started && err == nil, err
}
