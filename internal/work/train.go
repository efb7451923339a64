package work

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/crash"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/recipe"
	"github.com/palate-dev/palate/internal/schema"
)

// train is the creation of a solution version.
func (w *worker) train(ctx context.Context, t *job.Task) error {
	v, err := meta.Doc[api.SolutionVersion](t.Resource())
	if err != nil {
		return err
	}
	plan, err := versionPlan(&v)
	if err != nil {
		return err
	}
	if err := t.Status(ctx, meta.CreateInProgress); err != nil {
		return err
	}
	started := time.Now()
	plan.search = func(ctx context.Context) (*recipe.Search, error) {
		return w.searchFor(ctx, t, plan.entry, &v, plan.config.Params)
	}
	if v.TrainingMode == updateMode {
		plan.updates = v.SolutionARN
	}
	err = w.trainModel(ctx, t, v.DatasetGroupARN, plan, t.Done, func(tx *meta.Tx, r *meta.Resource, m *recipe.Manifest, p meta.ModelPrivate) error {
		hours := math.Max(0.001, math.Round(time.Since(started).Hours()*1000)/1000)
		v.TrainingHours = &hours
		v.TunedHPOParams = tunedParams(m)
		r.Status = meta.Active
		return errors.Join(r.SetPrivate(p), r.SetDoc(v), recordAutoML(tx, &v))
	})
	if err != nil {
		return err
	}
	w.Log.Info("training finished", "version", v.SolutionVersionARN, "took", time.Since(started).Round(time.Millisecond))
	if err := w.FollowLatest(ctx, v.SolutionARN); err != nil && ctx.Err() == nil { // the scheduler tries again
		w.Log.Error("move campaigns to the latest version", "solution", v.SolutionARN, "error", err)
	}
	return nil
}

// trainingStopped is the end of a version whose creation the customer stopped.
func trainingStopped(r *meta.Resource) { r.Status = meta.CreateStopped }

// trainingFailed is the end of a version whose training failed; one that was being stopped at that moment is stopped.
func trainingFailed(r *meta.Resource, reason string) {
	if r.Status == meta.CreateStopping {
		trainingStopped(r)
		return
	}
	r.Status, r.Failure = meta.CreateFailed, reason
}

// A trainingAttempt is the checkpoint of a training: where it writes, and how many deletions of the group its data knows of.
type trainingAttempt struct {
	Model    string
	Erasures int64
	Replaced string `json:",omitempty"` // the model that replaceModel has just replaced and is about to destroy

	// Trials is how far the search of hyperparameters is, without the data of deletions that are not counted in Erasures.
	Trials recipe.Trials `json:",omitzero"`
}

// trainingKinds are the jobs whose checkpoint is a trainingAttempt. Of the updates only some are; the others have no checkpoint.
var trainingKinds = []string{job.Train, job.Recommend, job.Refresh, job.Retrain, job.Update}

// commit makes a change of the job's row and ends the job, or not.
type commit func(ctx context.Context, change func(*meta.Tx, *meta.Resource) error) error

var errOvertaken = errors.New("a data deletion overtook the training")

// A trainingPlan says what to train: a recipe, by which configuration, on which columns.
type trainingPlan struct {
	entry   *recipe.Entry
	config  recipe.Config
	columns *api.TrainingDataConfig
	since   time.Time                                         // creation of the solution or recommender: columns that came later are left out
	search  func(ctx context.Context) (*recipe.Search, error) // the configuration's Search, decided anew by each attempt; nil: none
	updates string                                            // trainingMode UPDATE: the solution whose newest trained model is taken over; "": a training
}

// A finishing writes the outcome of a training, the model and what is kept about it, into the row.
type finishing func(tx *meta.Tx, r *meta.Resource, m *recipe.Manifest, p meta.ModelPrivate) error

// versionPlan is what the training of a solution version does.
func versionPlan(v *api.SolutionVersion) (trainingPlan, error) {
	plan, err := planOf(v.RecipeARN, v.EventType, v.SolutionConfig)
	if v.SolutionConfig != nil {
		plan.columns = v.SolutionConfig.TrainingDataConfig
	}
	return plan, err
}

// recommenderPlan is what the training of a recommender does.
func recommenderPlan(d *api.Recommender) (trainingPlan, error) {
	plan, err := planOf(d.RecipeARN, "", nil)
	if d.RecommenderConfig != nil {
		plan.columns = d.RecommenderConfig.TrainingDataConfig
	}
	return plan, err
}

func planOf(recipeARN, eventType string, c *api.SolutionConfig) (p trainingPlan, err error) {
	entry, ok := recipe.FindARN(recipeARN)
	if !ok || !entry.Trainable {
		return p, job.Fail("This build of palate cannot train the recipe %s.", recipeARN)
	}
	p.entry = entry
	p.config, err = trainingConfig(entry, eventType, c)
	return p, err
}

// trainModel trains on what the group holds now and commits the change that finish makes of the job's row with the new model.
//
// A data deletion that puts its mask in force while the training runs makes the attempt void: it is broken off, what it wrote is destroyed, and the training
// starts again on data from which the mask, and later the rewritten tables, leave the users out. The deletion waits until that has happened.
func (w *worker) trainModel(ctx context.Context, t *job.Task, group string, plan trainingPlan, done commit, finish finishing) error {
	for {
		err := w.attemptTraining(ctx, t, group, plan, done, finish)
		if !errors.Is(err, errOvertaken) {
			return err
		}
		w.Log.Info("a data deletion overtook the training: training again", "resource", t.Resource().ARN)
	}
}

// attemptTraining fails with errOvertaken if a data deletion took effect since it began.
func (w *worker) attemptTraining(ctx context.Context, t *job.Task, group string, plan trainingPlan, done commit, finish finishing) error {
	var a trainingAttempt
	if err := t.Load(&a); err != nil {
		return err
	}
	if err := w.destroyModel(a.Model); err != nil { // of an attempt that was interrupted or overtaken
		return err
	}
	known, err := w.erasures(ctx, group)
	if err != nil {
		return err
	}
	if a.Erasures != known { // the users may have been what decided
		a.Trials = recipe.Trials{}
	}
	a.Erasures = known
	a.Model = newName("model")
	if err := t.Save(ctx, a); err != nil {
		return err
	}
	items, err := w.latestItems(ctx, group, plan.entry) // before they are read
	if err != nil {
		return err
	}
	read := time.Now().UTC()
	watched, stop := w.untilOvertaken(ctx, group, a.Erasures)
	made, err := w.trainOnce(watched, t, group, plan, a)
	stop()
	if err != nil {
		if errors.Is(context.Cause(watched), errOvertaken) {
			err = errOvertaken
		}
		return errors.Join(err, w.destroyModel(a.Model))
	}
	crash.Point("train/made")
	err = done(ctx, func(tx *meta.Tx, r *meta.Resource) error {
		if now, err := erasuresIn(tx, group); err != nil {
			return err
		} else if now != a.Erasures {
			return errOvertaken
		}
		p := meta.ModelPrivate{
			Model: a.Model, Hash: made.Hash, Seq: made.Seq, Metrics: made.Metrics, Read: read, Updated: made.Config.Updated,
			Evaluated: time.Now().UTC(), Seen: made.Seq,
		}
		if plan.entry.Follows() == schema.Items {
			p.Seen = items
		}
		return finish(tx, r, made, p)
	})
	if errors.Is(err, meta.ErrLost) { // the row has another job now, or is gone: nobody knows of the directory any more
		err = errors.Join(err, w.destroyModel(a.Model))
	}
	return err
}

// untilOvertaken returns a context that ends, with errOvertaken as its cause, when the group's count of erasures is no longer known. stop waits for the
// watcher, after which the cause does not change any more.
func (w *worker) untilOvertaken(ctx context.Context, group string, known int64) (watched context.Context, stop func()) {
	watched, cancel := context.WithCancelCause(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() {
		for watched.Err() == nil {
			changed := w.Meta.Changed()
			if now, err := w.erasures(watched, group); err == nil && now != known {
				cancel(errOvertaken)
			}
			select {
			case <-watched.Done():
			case <-changed:
			}
		}
	})
	return watched, func() {
		cancel(nil)
		watcher.Wait()
	}
}

// trainingsKnow waits until no training of the group has data, in memory or on disk, that is older than its last erasure.
func (w *worker) trainingsKnow(ctx context.Context, group string) error {
	return w.until(ctx, func() (bool, error) {
		old, err := w.oldTrainings(ctx, group)
		return old == 0, err
	})
}

// until waits for what a change of the metadata can bring about: it asks again after each.
func (w *worker) until(ctx context.Context, so func() (bool, error)) error {
	for {
		changed := w.Meta.Changed()
		if is, err := so(); err != nil || is {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		}
	}
}

// oldTrainings counts the attempts that began before the group's last erasure took effect and have not been cleared away, and those whose replaced model has not.
func (w *worker) oldTrainings(ctx context.Context, group string) (old int, err error) {
	err = w.Meta.View(ctx, func(tx *meta.Tx) error {
		now, err := erasuresIn(tx, group)
		if err != nil {
			return err
		}
		for _, kind := range trainingKinds {
			rows, err := tx.Find(meta.Query{Group: group, JobKind: kind})
			if err != nil {
				return err
			}
			for _, r := range rows {
				var a trainingAttempt
				if len(r.Job.Checkpoint) > 0 {
					if err := json.Unmarshal(r.Job.Checkpoint, &a); err != nil {
						return fmt.Errorf("decode checkpoint of %s: %w", r.ARN, err)
					}
				}
				if a.Model != "" && a.Erasures < now || a.Replaced != "" {
					old++
				}
			}
		}
		return nil
	})
	return old, err
}

// trainOnce reads the group's data and writes one model directory.
func (w *worker) trainOnce(ctx context.Context, t *job.Task, group string, plan trainingPlan, a trainingAttempt) (*recipe.Manifest, error) {
	for _, kind := range plan.entry.Requires {
		if _, ok, err := w.tableOfType(ctx, group, kind); err != nil {
			return nil, err
		} else if !ok {
			return nil, job.Fail("Dataset group does not have a dataset of type %s.", kind)
		}
	}
	var err error
	if plan.since, err = w.configured(ctx, t.Resource()); err != nil {
		return nil, err
	}
	interactions, ok, err := w.tableOfType(ctx, group, schema.Interactions)
	if err != nil {
		return nil, err
	}
	if ok && plan.updates != "" {
		return w.updateModel(ctx, group, interactions, plan.updates, a.Model)
	}
	var rows int64
	if ok {
		if rows, err = w.Engine.Count(ctx, interactions); err != nil {
			return nil, err
		}
	}
	if plan.search != nil {
		if plan.config.Search, err = plan.search(ctx); err != nil {
			return nil, err
		}
		if s := plan.config.Search; s != nil {
			s.Finished = a.Trials
			s.Keep = func(trials recipe.Trials) error {
				a.Trials = trials
				return t.Save(ctx, a)
			}
		}
	}
	var made *recipe.Manifest
	read := func() (recipe.Data, error) { return w.trainingData(ctx, t, group, interactions, plan) }
	err = w.withMemory(ctx, t.Progress, plan.config, rows, read, func(d recipe.Data) (err error) {
		made, err = recipe.Train(ctx, d, plan.config, w.Limits, w.model(a.Model), phases(t, "steps"))
		return err
	})
	var data *recipe.DataError
	if errors.As(err, &data) {
		return nil, job.Fail("%s", data.Reason)
	}
	return made, err
}

// trainingData reads what the group holds. interactions is empty if it has no such dataset.
func (w *worker) trainingData(ctx context.Context, t *job.Task, group string, interactions dataset.Table, plan trainingPlan) (d recipe.Data, err error) {
	t.Progress(job.Progress{Phase: "read", Started: time.Now()})
	d.Events = &dataset.Events{Offsets: []int64{0}}
	if interactions.Schema != nil {
		if d.Events, err = w.Engine.Events(ctx, interactions, plan.contextColumns(interactions.Schema)...); err != nil {
			return d, err
		}
	}
	if d.Items, err = w.attributes(ctx, group, schema.Items, plan); err != nil {
		return d, err
	}
	if slices.Contains(plan.entry.Reads, schema.Users) {
		if d.Users, err = w.attributes(ctx, group, schema.Users, plan); err != nil {
			return d, err
		}
	}
	if slices.Contains(plan.entry.Reads, schema.ActionInteractions) {
		err = w.actionData(ctx, group, &d)
	}
	return d, err
}

// actionData reads the group's actions and, if there are any, the events with them.
func (w *worker) actionData(ctx context.Context, group string, d *recipe.Data) error {
	actions, ok, err := w.tableOfType(ctx, group, schema.Actions)
	if err != nil {
		return err
	}
	if !ok {
		return job.Fail("Dataset group does not have a dataset of type %s.", schema.Actions)
	}
	key := actions.Schema.KeyField()
	if err := w.Engine.Effective(ctx, actions, func(r dataset.Row) error {
		d.Actions = append(d.Actions, strings.Clone(r.Values[key].Str))
		return nil
	}); err != nil {
		return err
	}
	acted, ok, err := w.tableOfType(ctx, group, schema.ActionInteractions)
	if err != nil || !ok {
		return err
	}
	d.Acted, err = w.Engine.Events(ctx, acted)
	return err
}

// phases passes a trainer's progress on; each phase has its own clock.
func phases(t *job.Task, unit string) recipe.Progress {
	return func(phase string, done, total int64) {
		t.Progress(job.Progress{Phase: phase, Done: done, Total: total, Unit: unit})
	}
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
	if config.EventType != "" && !strings.EqualFold(config.EventType, entry.Excludes) {
		config.Excludes = entry.Excludes // otherwise the model has these events anyway
	}
	if len(entry.Fixed) > 0 {
		config.Params = maps.Clone(entry.Fixed)
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
	if config.Params == nil {
		config.Params = map[string]string{}
	}
	for _, params := range []map[string]string{c.AlgorithmHyperParameters, c.FeatureTransformationParameters} {
		for name, value := range params {
			config.Params[name[strings.LastIndexByte(name, '.')+1:]] = value // "training.bptt" is bptt
		}
	}
	if o := c.OptimizationObjective; o != nil {
		var err error
		if config.Objective, err = recipe.NewOptimization(o.ItemAttribute, o.ObjectiveSensitivity); err != nil {
			return config, job.Fail("%v.", err)
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
