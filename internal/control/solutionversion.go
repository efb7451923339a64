package control

import (
	"context"
	"errors"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/recipe"
)

// How a version came to be trained.
const (
	fullTraining   = "FULL"
	updateTraining = "UPDATE"
	autoTraining   = "AUTOTRAIN"

	manual    = "MANUAL"
	automatic = "AUTOMATIC"
)

// CreateSolutionVersion starts a training with the solution's configuration of this moment. Every call makes a new version.
func (s *Service) CreateSolutionVersion(ctx context.Context, in *api.CreateSolutionVersionRequest) (*api.CreateSolutionVersionResponse, error) {
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	if in.TrainingMode == autoTraining {
		return nil, api.Errorf(api.InvalidInput, "trainingMode AUTOTRAIN cannot be requested.")
	}
	sc := scopeOf(ctx)
	var arn string
	err := s.update(ctx, func(tx *meta.Tx) error {
		solution, err := lookup(tx, sc, meta.Solution, in.SolutionARN)
		if err != nil {
			return err
		}
		if err := vacantVersionName(tx, solution.ARN, in.Name); err != nil {
			return err
		}
		if err := usable(solution); err != nil {
			return err
		}
		mode := fullTraining
		if in.TrainingMode == updateTraining {
			mode = updateTraining
			if err := checkUpdateTraining(tx, solution); err != nil {
				return err
			}
		}
		if err := s.trainingLimit(tx, sc.id()); err != nil {
			return err
		}
		v, err := s.insertVersion(tx, sc, solution, in.Name, mode, manual, "", in.Tags)
		arn = v
		return err
	})
	if err != nil {
		return nil, err
	}
	return &api.CreateSolutionVersionResponse{SolutionVersionARN: arn}, nil
}

// vacantVersionName checks that no version of the solution has the name; most have none.
func vacantVersionName(tx *meta.Tx, solution, name string) error {
	if name == "" {
		return nil
	}
	n, err := tx.Count(meta.Query{Kind: meta.SolutionVersion, Parent: solution, Name: name})
	if err != nil || n == 0 {
		return err
	}
	return api.Errorf(api.ResourceAlreadyExists, "Another solution version named %s already exists in %s.", name, solution)
}

// checkUpdateTraining checks that there is a trained model for trainingMode UPDATE to take over.
func checkUpdateTraining(tx *meta.Tx, solution *meta.Resource) error {
	doc, err := meta.Doc[api.Solution](solution)
	if err != nil {
		return err
	}
	entry, err := lookupRecipe(doc.RecipeARN)
	if err != nil {
		return err
	}
	if !entry.Has(recipe.UpdateTraining) {
		return api.Errorf(api.InvalidInput, "trainingMode UPDATE is not supported by recipe %s.", entry.Name)
	}
	versions, err := tx.Find(meta.Query{Kind: meta.SolutionVersion, Parent: solution.ARN, Statuses: []string{meta.Active}})
	if err != nil {
		return err
	}
	for _, r := range versions {
		v, err := meta.Doc[api.SolutionVersion](r)
		if err != nil {
			return err
		}
		if v.TrainingMode != updateTraining {
			return nil
		}
	}
	return api.Errorf(api.InvalidInput, "trainingMode UPDATE requires an ACTIVE solution version that was trained in mode FULL.")
}

// trainingLimit checks the quota of versions that wait for training or are in training.
func (s *Service) trainingLimit(tx *meta.Tx, scopeID string) error {
	n, err := tx.Count(meta.Query{Kind: meta.SolutionVersion, Scope: scopeID, Statuses: pending})
	if err != nil {
		return err
	}
	return pendingLimit(s.limits.SolutionVersions, n)
}

// insertVersion adds a version with a snapshot of the solution's configuration, and its training. search is what that does about hyperparameters.
func (s *Service) insertVersion(tx *meta.Tx, sc scope, solution *meta.Resource, name, mode, kind, search string, tags []api.Tag) (arn string, err error) {
	from, err := meta.Doc[api.Solution](solution)
	if err != nil {
		return "", err
	}
	if arn, err = newVersionARN(tx, solution.ARN); err != nil {
		return "", err
	}
	r := &meta.Resource{
		ARN: arn, Kind: meta.SolutionVersion, Name: name, Group: solution.Group, Parent: solution.ARN, Job: meta.Job{Kind: job.Train},
	}
	doc := api.SolutionVersion{
		Name: name, SolutionVersionARN: arn, SolutionARN: solution.ARN, DatasetGroupARN: from.DatasetGroupARN, RecipeARN: from.RecipeARN,
		EventType: from.EventType, SolutionConfig: from.SolutionConfig, PerformHPO: from.PerformHPO, PerformAutoML: from.PerformAutoML,
		PerformIncrementalUpdate: from.PerformIncrementalUpdate, TrainingMode: mode, TrainingType: kind,
	}
	return arn, s.insert(tx, sc, r, doc, meta.ModelPrivate{Search: search}, tags)
}

// newVersionARN draws suffixes until one is free.
func newVersionARN(tx *meta.Tx, solution string) (string, error) {
	for {
		arn := solution + "/" + newSuffix()
		if _, err := tx.Get(arn); errors.Is(err, meta.ErrNotFound) {
			return arn, nil
		} else if err != nil {
			return "", err
		}
	}
}

func (s *Service) DescribeSolutionVersion(ctx context.Context, in *api.DescribeSolutionVersionRequest) (*api.DescribeSolutionVersionResponse, error) {
	v, err := describe[api.SolutionVersion](ctx, s, meta.SolutionVersion, in.SolutionVersionARN)
	if err != nil {
		return nil, err
	}
	return &api.DescribeSolutionVersionResponse{SolutionVersion: v}, nil
}

func (s *Service) ListSolutionVersions(ctx context.Context, in *api.ListSolutionVersionsRequest) (*api.ListSolutionVersionsResponse, error) {
	page, next, err := list[api.SolutionVersionSummary](ctx, s, listing{
		kind: meta.SolutionVersion, parentKind: meta.Solution, parent: in.SolutionARN, missing: api.ResourceNotFound,
		nextToken: in.NextToken, maxResults: in.MaxResults,
	})
	if err != nil {
		return nil, err
	}
	return &api.ListSolutionVersionsResponse{SolutionVersions: page, NextToken: next}, nil
}

// StopSolutionVersionCreation stops a training for good. One that is still pending has made nothing yet and is stopped at once: a worker that has
// just taken it up finds that the job is no longer its own.
func (s *Service) StopSolutionVersionCreation(ctx context.Context, in *api.StopSolutionVersionCreationRequest) (*api.StopSolutionVersionCreationResponse, error) {
	err := s.update(ctx, func(tx *meta.Tx) error {
		r, err := lookup(tx, scopeOf(ctx), meta.SolutionVersion, in.SolutionVersionARN)
		if err != nil {
			return err
		}
		switch r.Status {
		case meta.CreatePending:
			r.Status, r.Job = meta.CreateStopped, meta.Job{}
		case meta.CreateInProgress:
			r.Status, r.Job.Cancel = meta.CreateStopping, true
		default:
			return inUse(r)
		}
		return tx.Put(r)
	})
	if err != nil {
		return nil, err
	}
	return &api.StopSolutionVersionCreationResponse{}, nil
}

// GetSolutionMetrics answers what the training measured on held-out users. It never changes after that.
func (s *Service) GetSolutionMetrics(ctx context.Context, in *api.GetSolutionMetricsRequest) (*api.GetSolutionMetricsResponse, error) {
	out := &api.GetSolutionMetricsResponse{SolutionVersionARN: in.SolutionVersionARN}
	err := s.meta.View(ctx, func(tx *meta.Tx) error {
		r, err := lookup(tx, scopeOf(ctx), meta.SolutionVersion, in.SolutionVersionARN)
		if err != nil {
			return err
		}
		if r.Status != meta.Active {
			return inUse(r)
		}
		private, err := meta.Private[meta.ModelPrivate](r)
		out.Metrics = private.Metrics
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
