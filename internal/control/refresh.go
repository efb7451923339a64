package control

import (
	"context"
	"errors"
	"time"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/recipe"
	"github.com/palate-dev/palate/internal/schema"
)

// RefreshDue starts the refresh of every model in use whose recipe follows new data without a training, if its interval is over and new interactions have come.
// every, unless it is 0, takes the place of the recipes' own intervals. It reports how many refreshes it started. As TrainDue it decides from the records alone.
func (s *Service) RefreshDue(ctx context.Context, now time.Time, every time.Duration) (started int, err error) {
	return s.startDue(ctx, served,
		func(tx *meta.Tx, r *meta.Resource) (bool, error) { return refreshDue(tx, r, now, every) },
		func(r *meta.Resource) (bool, error) { return s.refresh(ctx, r, now, every) })
}

// startDue starts what is due of what list finds, and reports how many it started. One that fails to start does not hold up the others.
func (s *Service) startDue(ctx context.Context, list func(*meta.Tx) ([]*meta.Resource, error), is func(*meta.Tx, *meta.Resource) (bool, error),
	start func(*meta.Resource) (bool, error)) (started int, err error) {
	var due []*meta.Resource
	err = s.meta.View(ctx, func(tx *meta.Tx) error {
		all, err := list(tx)
		if err != nil {
			return err
		}
		for _, r := range all {
			yes, err := is(tx, r)
			if err != nil {
				return err
			}
			if yes {
				due = append(due, r)
			}
		}
		return nil
	})
	failures := []error{err}
	for _, r := range due {
		ok, err := start(r)
		if ok {
			started++
		}
		failures = append(failures, err)
	}
	return started, errors.Join(failures...)
}

// served lists what has a model that requests are answered from: recommenders, and the solution versions that campaigns deploy.
func served(tx *meta.Tx) ([]*meta.Resource, error) {
	list, err := tx.Find(meta.Query{Kind: meta.Recommender, Statuses: []string{meta.Active}})
	if err != nil {
		return nil, err
	}
	campaigns, err := tx.Find(meta.Query{Kind: meta.Campaign, Statuses: []string{meta.Active}})
	if err != nil {
		return nil, err
	}
	listed := map[string]bool{}
	for _, c := range campaigns {
		doc, err := meta.Doc[api.Campaign](c)
		if err != nil {
			return nil, err
		}
		if listed[doc.SolutionVersionARN] {
			continue
		}
		listed[doc.SolutionVersionARN] = true
		version, err := tx.Get(doc.SolutionVersionARN)
		if err != nil {
			return nil, err
		}
		list = append(list, version)
	}
	return list, nil
}

// refreshDue reports whether the interval of a served model is over and nothing else is under way for its resource.
func refreshDue(tx *meta.Tx, r *meta.Resource, now time.Time, every time.Duration) (bool, error) {
	if r.Status != meta.Active || r.Job.Kind != "" {
		return false, nil
	}
	interval, err := refreshInterval(tx, r)
	if err != nil || interval == 0 {
		return false, err
	}
	if every > 0 {
		interval = every
	}
	model, err := meta.Private[meta.ModelPrivate](r)
	return err == nil && model.Model != "" && !now.Before(model.Evaluated.Add(interval)), err
}

// incrementalInterval is how often items are looked for by solutions with performIncrementalUpdate, so that new ones are recommended within half an hour.
const incrementalInterval = 20 * time.Minute

// refreshInterval is 0 for a model that only a training changes.
func refreshInterval(tx *meta.Tx, r *meta.Resource) (time.Duration, error) {
	name, params := "", map[string]string(nil)
	if r.Kind == meta.Recommender {
		doc, err := meta.Doc[api.Recommender](r)
		if err != nil {
			return 0, err
		}
		name = doc.RecipeARN
	} else {
		doc, err := meta.Doc[api.SolutionVersion](r)
		if err != nil {
			return 0, err
		}
		name = doc.RecipeARN
		if doc.SolutionConfig != nil {
			params = doc.SolutionConfig.FeatureTransformationParameters
		}
	}
	entry, ok := recipe.FindARN(name)
	switch {
	case !ok:
		return 0, nil
	case !entry.Has(recipe.IncrementalUpdate):
		return entry.Interval(params), nil
	}
	solution, err := tx.Get(r.Parent)
	if err != nil {
		return 0, err
	}
	if doc, err := meta.Doc[api.Solution](solution); err != nil || !isTrue(doc.PerformIncrementalUpdate) {
		return 0, err
	}
	return incrementalInterval, nil
}

// followed is the type of dataset whose news a refresh brings into a model.
func followed(r *meta.Resource) (schema.Type, error) {
	if r.Kind != meta.SolutionVersion {
		return schema.Interactions, nil
	}
	doc, err := meta.Doc[api.SolutionVersion](r)
	if err != nil {
		return "", err
	}
	if entry, ok := recipe.FindARN(doc.RecipeARN); ok {
		return entry.Follows(), nil
	}
	return schema.Interactions, nil
}

// refresh starts one that is due if there are rows that the model does not know.
func (s *Service) refresh(ctx context.Context, served *meta.Resource, now time.Time, every time.Duration) (started bool, err error) {
	model, err := meta.Private[meta.ModelPrivate](served)
	if err != nil {
		return false, err
	}
	kind, err := followed(served)
	if err != nil {
		return false, err
	}
	fresh, err := s.hasNewerData(ctx, served.Group, kind, model.Seen)
	if err != nil || !fresh {
		return false, err
	}
	err = s.update(ctx, func(tx *meta.Tx) error {
		r, err := tx.Get(served.ARN)
		if errors.Is(err, meta.ErrNotFound) {
			return nil // deleted since
		}
		if err != nil {
			return err
		}
		due, err := refreshDue(tx, r, now, every)
		if err != nil || !due {
			return err
		}
		r.Job = meta.Job{Kind: job.Refresh}
		started = true
		return tx.Put(r)
	})
	return started && err == nil, err
}
