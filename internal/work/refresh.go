package work

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/crash"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/recipe"
)

// refresh evaluates the model of an ACTIVE solution version or recommender again, from the data of now and with the configuration that it was trained with. The
// resource stays as it is: its metrics are those of its training. To data deletions a refresh is a training like any other.
func (w *worker) refresh(ctx context.Context, t *job.Task) error {
	plan, err := refreshPlan(t.Resource())
	if err != nil {
		return err
	}
	err = w.replaceModel(ctx, t, plan, func(_ *meta.Tx, r *meta.Resource, _ *recipe.Manifest, made meta.ModelPrivate) error {
		p, err := meta.Private[meta.ModelPrivate](r)
		if err != nil {
			return err
		}
		p.Model, p.Hash, p.Evaluated, p.Seen = made.Model, made.Hash, made.Evaluated, made.Seen
		return r.SetPrivate(p)
	})
	if err != nil {
		return err
	}
	return t.Done(ctx, func(*meta.Tx, *meta.Resource) error { return nil })
}

// replaceModel trains a resource that has a model already and serves it. One transaction puts the new model, with all that finish writes, in the place of the
// old one, which is destroyed once nobody reads it any more. An attempt after that transaction only destroys.
func (w *worker) replaceModel(ctx context.Context, t *job.Task, plan trainingPlan, finish finishing) error {
	var a trainingAttempt
	if err := t.Load(&a); err != nil {
		return err
	}
	if a.Replaced == "" {
		old, err := meta.Private[meta.ModelPrivate](t.Resource())
		if err != nil {
			return err
		}
		swap := opening(t, t.Update, func(ctx context.Context, made string) (func(), error) { return w.Succeed(ctx, old.Model, made) })
		err = w.trainModel(ctx, t, t.Resource().Group, plan, swap, func(tx *meta.Tx, r *meta.Resource, m *recipe.Manifest, made meta.ModelPrivate) error {
			old, err := meta.Private[meta.ModelPrivate](r)
			if err != nil {
				return err
			}
			a.Replaced = old.Model
			if r.Job.Checkpoint, err = json.Marshal(trainingAttempt{Replaced: old.Model}); err != nil {
				return fmt.Errorf("encode checkpoint of %s: %w", r.ARN, err)
			}
			return finish(tx, r, m, made)
		})
		if err != nil {
			return err
		}
	}
	crash.Point("model/replaced")
	if err := w.Retire(ctx, a.Replaced); err != nil {
		return err
	}
	return w.destroyModel(a.Replaced)
}

// opening is done with the trained model open for whoever serves it from then on.
func opening(t *job.Task, done commit, open func(ctx context.Context, made string) (moved func(), err error)) commit {
	return func(ctx context.Context, change func(*meta.Tx, *meta.Resource) error) error {
		var a trainingAttempt
		if err := t.Load(&a); err != nil {
			return err
		}
		moved, err := open(ctx, a.Model)
		if err != nil {
			return fmt.Errorf("open the new model of %s: %w", t.Resource().ARN, err)
		}
		defer moved()
		return done(ctx, change)
	}
}

// refreshPlan is that of the training that made the model.
func refreshPlan(r *meta.Resource) (trainingPlan, error) {
	if r.Kind == meta.Recommender {
		d, err := meta.Doc[api.Recommender](r)
		if err != nil {
			return trainingPlan{}, err
		}
		return recommenderPlan(&d)
	}
	v, err := meta.Doc[api.SolutionVersion](r)
	if err != nil {
		return trainingPlan{}, err
	}
	return versionPlan(&v)
}

// refreshFailed leaves the model as it was: it may have too little data now. The next refresh is due after another interval.
func refreshFailed(r *meta.Resource, _ string) {
	p, err := meta.Private[meta.ModelPrivate](r)
	if err != nil {
		return // it cannot be read: the resource stays as it is, for an operator to see
	}
	p.Evaluated = time.Now().UTC()
	if err := r.SetPrivate(p); err != nil {
		return
	}
}
