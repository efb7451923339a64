package work

import (
	"context"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/recipe"
)

// train is the creation of a solution version.
func (w *worker) train(ctx context.Context, t *job.Task) error {
	v, err := meta.Doc[api.SolutionVersion](t.Resource())
	if err != nil {
		return err
	}
	entry, ok := recipe.FindARN(v.RecipeARN)
	if !ok || !entry.Trainable {
		return job.Fail("This build of palate cannot train the recipe %s.", v.RecipeARN)
	}
	if err := t.Status(ctx, meta.CreateInProgress); err != nil {
		return err
	}
	config, err := trainingConfig(entry, v.EventType, v.SolutionConfig)
	if err != nil {
		return err
	}
	started := time.Now()
	err = w.trainModel(ctx, t, v.DatasetGroupARN, config, func(r *meta.Resource, m *recipe.Manifest) error {
		hours := math.Max(0.001, math.Round(time.Since(started).Hours()*1000)/1000)
		v.TrainingHours = &hours
		r.Status = meta.Active
		return r.SetDoc(v)
	})
	if err != nil {
		return err
	}
	w.Log.Info("training finished", "version", v.SolutionVersionARN, "took", time.Since(started).Round(time.Millisecond))
	if err := w.FollowLatest(ctx, v.SolutionARN); err != nil { // the scheduler tries again
		w.Log.Error("move campaigns to the latest version", "solution", v.SolutionARN, "error", err)
	}
	return nil
}

// trainingStopped is the end of a version whose creation the customer stopped.
func trainingStopped(r *meta.Resource) { r.Status = meta.CreateStopped }

// trainModel trains on what the group holds now and commits the model with the status change that finish makes.
//
// A data deletion that puts its mask in force while the training runs makes the result void: it is destroyed, and the training starts again on data
// from which the mask, and later the rewritten tables, leave the users out.
func (w *worker) trainModel(ctx context.Context, t *job.Task, group string, config recipe.Config, finish func(*meta.Resource, *recipe.Manifest) error) error {
	var begun struct{ Model string }
	if err := t.Load(&begun); err != nil {
		return err
	}
	for {
		if err := w.destroyModel(begun.Model); err != nil { // of an attempt that was interrupted or overtaken
			return err
		}
		begun.Model = newName("model")
		if err := t.Save(ctx, begun); err != nil {
			return err
		}
		before, err := w.erasures(ctx, group)
		if err != nil {
			return err
		}
		made, err := w.trainOnce(ctx, t, group, config, begun.Model)
		if err != nil {
			return errors.Join(err, w.destroyModel(begun.Model))
		}
		overtaken := false
		err = t.Done(ctx, func(tx *meta.Tx, r *meta.Resource) error {
			now, err := erasuresIn(tx, group)
			if err != nil {
				return err
			}
			if now != before {
				overtaken = true
				return errOvertaken
			}
			if err := r.SetPrivate(meta.ModelPrivate{Model: begun.Model, Hash: made.Hash, Seq: made.Seq, Metrics: made.Metrics}); err != nil {
				return err
			}
			return finish(r, made)
		})
		if !overtaken {
			return err
		}
		w.Log.Info("a data deletion overtook the training: training again", "resource", t.Resource().ARN)
	}
}

var errOvertaken = errors.New("a data deletion overtook the training")

// trainOnce reads the group's interactions and writes one model directory.
func (w *worker) trainOnce(ctx context.Context, t *job.Task, group string, config recipe.Config, name string) (*recipe.Manifest, error) {
	interactions, ok, err := w.tableOfType(ctx, group, dataset.Interactions)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, job.Fail("Dataset group does not have a dataset of type %s.", dataset.Interactions)
	}
	t.Progress(job.Progress{Phase: "read", Started: time.Now()})
	events, err := w.Engine.Events(ctx, interactions)
	if err != nil {
		return nil, err
	}
	items, err := w.itemIDs(ctx, group)
	if err != nil {
		return nil, err
	}
	made, err := recipe.Train(ctx, events, items, config, w.Limits, w.model(name), phases(t, "steps"))
	var data *recipe.DataError
	if errors.As(err, &data) {
		return nil, job.Fail("%s", data.Reason)
	}
	return made, err
}

// phases passes a trainer's progress on; each phase has its own clock.
func phases(t *job.Task, unit string) recipe.Progress {
	return func(phase string, done, total int64) {
		t.Progress(job.Progress{Phase: phase, Done: done, Total: total, Unit: unit})
	}
}

// itemIDs lists the ids of the group's Items dataset; none if it has none.
func (w *worker) itemIDs(ctx context.Context, group string) ([]string, error) {
	items, ok, err := w.tableOfType(ctx, group, dataset.Items)
	if err != nil || !ok {
		return nil, err
	}
	key := items.Schema.KeyField()
	var ids []string
	err = w.Engine.Effective(ctx, items, func(r dataset.Row) error {
		ids = append(ids, strings.Clone(r.Values[key].Str))
		return nil
	})
	return ids, err
}

// erasures counts the data deletions of a group whose mask came into force.
func (w *worker) erasures(ctx context.Context, group string) (n int64, err error) {
	err = w.Meta.View(ctx, func(tx *meta.Tx) error {
		n, err = erasuresIn(tx, group)
		return err
	})
	return n, err
}

func erasuresIn(tx *meta.Tx, group string) (int64, error) {
	r, err := tx.Get(group)
	if err != nil {
		return 0, err
	}
	p, err := meta.Private[meta.GroupPrivate](r)
	return p.Erasures, err
}

// trainingConfig says in the trainer's words what a solution's configuration asks for.
func trainingConfig(entry *recipe.Entry, eventType string, c *api.SolutionConfig) (recipe.Config, error) {
	config := recipe.Config{Recipe: entry.TrainedAs, EventType: eventType, CountEvents: entry.CountEvents}
	if config.EventType == "" {
		config.EventType = entry.EventType
	}
	if c == nil {
		return config, nil
	}
	if c.EventValueThreshold != "" {
		v, err := strconv.ParseFloat(c.EventValueThreshold, 64)
		if err != nil {
			return config, job.Fail("eventValueThreshold %q is not a number.", c.EventValueThreshold)
		}
		config.EventValueThreshold = &v
	}
	config.Params = map[string]string{}
	for _, params := range []map[string]string{c.AlgorithmHyperParameters, c.FeatureTransformationParameters} {
		for name, value := range params {
			config.Params[name[strings.LastIndexByte(name, '.')+1:]] = value // "training.bptt" is bptt
		}
	}
	if c.EventsConfig != nil {
		for _, e := range c.EventsConfig.EventParametersList {
			weight := 1.0
			if e.Weight != nil {
				weight = *e.Weight
			}
			config.EventsConfig = append(config.EventsConfig, recipe.EventWeight{Type: e.EventType, Threshold: e.EventValueThreshold, Weight: weight})
		}
	}
	return config, nil
}
