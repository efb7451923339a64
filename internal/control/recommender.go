package control

import (
	"context"
	"strings"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/recipe"
)

// CreateRecommender trains and deploys a use case of the group's domain in one.
func (s *Service) CreateRecommender(ctx context.Context, in *api.CreateRecommenderRequest) (*api.CreateRecommenderResponse, error) {
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	if in.RecommenderConfig != nil {
		if err := checkColumnMaps(in.RecommenderConfig.TrainingDataConfig); err != nil {
			return nil, err
		}
	}
	sc := scopeOf(ctx)
	arn := sc.arn(meta.Recommender, in.Name)
	err := s.update(ctx, func(tx *meta.Tx) error {
		group, err := lookup(tx, sc, meta.DatasetGroup, in.DatasetGroupARN)
		if err != nil {
			return err
		}
		entry, err := lookupRecipe(in.RecipeARN)
		if err != nil {
			return err
		}
		if err := vacant(tx, arn); err != nil {
			return err
		}
		if err := usable(group); err != nil {
			return err
		}
		if err := checkUseCase(entry, group); err != nil {
			return err
		}
		data, err := dataOf(tx, group.ARN)
		if err != nil {
			return err
		}
		if err := data.require(entry); err != nil {
			return err
		}
		config, err := checkRecommenderConfig(in.RecommenderConfig, entry, data)
		if err != nil {
			return err
		}
		n, err := tx.Count(meta.Query{Kind: meta.Recommender, Group: group.ARN, Statuses: living})
		if err != nil {
			return err
		}
		if err := activeLimit(s.limits.Recommenders, n); err != nil {
			return err
		}
		if !entry.Trainable {
			return unsupported("training with recipe " + entry.Name)
		}
		r := &meta.Resource{
			ARN: arn, Kind: meta.Recommender, Name: in.Name, Group: group.ARN, Parent: group.ARN, Job: meta.Job{Kind: job.Recommend},
		}
		doc := api.Recommender{Name: in.Name, RecommenderARN: arn, DatasetGroupARN: group.ARN, RecipeARN: in.RecipeARN, RecommenderConfig: config}
		return s.insert(tx, sc, r, doc, meta.ModelPrivate{}, in.Tags)
	})
	if err != nil {
		return nil, err
	}
	return &api.CreateRecommenderResponse{RecommenderARN: arn}, nil
}

// checkUseCase checks that the recipe is a use case of the group's domain.
func checkUseCase(e *recipe.Entry, group *meta.Resource) error {
	doc, err := meta.Doc[api.DatasetGroup](group)
	if err != nil {
		return err
	}
	switch {
	case doc.Domain == "":
		return api.Errorf(api.InvalidInput, "Recommenders require a Domain dataset group; %s has no domain.", group.ARN)
	case e.Domain == "":
		return api.Errorf(api.InvalidInput, "Recipe %s is not a use case of a domain: create a solution with it.", e.Name)
	case e.Domain != doc.Domain:
		return api.Errorf(api.InvalidInput, "Recipe %s belongs to domain %s, the dataset group to domain %s.", e.Name, e.Domain, doc.Domain)
	}
	return nil
}

// checkRecommenderConfig checks a configuration against the use case and the group's schemas, and returns it with plain names; none is an empty one.
func checkRecommenderConfig(given *api.RecommenderConfig, e *recipe.Entry, data groupData) (*api.RecommenderConfig, error) {
	if given == nil {
		return &api.RecommenderConfig{}, nil
	}
	c := *given
	var err error
	if c.ItemExplorationConfig, err = checkExploration(e, c.ItemExplorationConfig); err != nil {
		return nil, err
	}
	if err := checkColumns(c.TrainingDataConfig, data); err != nil {
		return nil, err
	}
	return &c, checkMetadata(e, c.EnableMetadataWithRecommendations, data)
}

// DescribeRecommender shows the metrics of the model in use, and none while there is none yet or no more.
func (s *Service) DescribeRecommender(ctx context.Context, in *api.DescribeRecommenderRequest) (*api.DescribeRecommenderResponse, error) {
	r, err := describe[api.Recommender](ctx, s, meta.Recommender, in.RecommenderARN)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(r.Status, "CREATE ") || strings.HasPrefix(r.Status, "DELETE ") {
		r.ModelMetrics = nil
	}
	return &api.DescribeRecommenderResponse{Recommender: r}, nil
}

func (s *Service) ListRecommenders(ctx context.Context, in *api.ListRecommendersRequest) (*api.ListRecommendersResponse, error) {
	page, next, err := list[api.RecommenderSummary](ctx, s, listing{
		kind: meta.Recommender, parentKind: meta.DatasetGroup, parent: in.DatasetGroupARN, nextToken: in.NextToken, maxResults: in.MaxResults,
	})
	if err != nil {
		return nil, err
	}
	return &api.ListRecommendersResponse{Recommenders: page, NextToken: next}, nil
}

// UpdateRecommender writes the new configuration down in latestRecommenderUpdate; the old one serves until a job has made it ACTIVE.
func (s *Service) UpdateRecommender(ctx context.Context, in *api.UpdateRecommenderRequest) (*api.UpdateRecommenderResponse, error) {
	if err := checkColumnMaps(in.RecommenderConfig.TrainingDataConfig); err != nil {
		return nil, err
	}
	err := s.update(ctx, func(tx *meta.Tx) error {
		r, err := lookup(tx, scopeOf(ctx), meta.Recommender, in.RecommenderARN)
		if err != nil {
			return err
		}
		if err := updatable(r, meta.Active, meta.Inactive); err != nil {
			return err
		}
		doc, err := meta.Doc[api.Recommender](r)
		if err != nil {
			return err
		}
		entry, err := lookupRecipe(doc.RecipeARN)
		if err != nil {
			return err
		}
		data, err := dataOf(tx, r.Group)
		if err != nil {
			return err
		}
		config, err := checkRecommenderConfig(in.RecommenderConfig, entry, data)
		if err != nil {
			return err
		}
		now := api.NewTime(s.now())
		doc.LatestRecommenderUpdate = &api.RecommenderUpdateSummary{
			RecommenderConfig: config, Status: meta.CreatePending, CreationDateTime: now, LastUpdatedDateTime: now,
		}
		r.Job = meta.Job{Kind: job.Update}
		if err := r.SetDoc(doc); err != nil {
			return err
		}
		return tx.Put(r)
	})
	if err != nil {
		return nil, err
	}
	return &api.UpdateRecommenderResponse{RecommenderARN: in.RecommenderARN}, nil
}

// StartRecommender puts a stopped recommender into service again, with the model that it had.
func (s *Service) StartRecommender(ctx context.Context, in *api.StartRecommenderRequest) (*api.StartRecommenderResponse, error) {
	if err := s.toggle(ctx, in.RecommenderARN, meta.Inactive, meta.StartPending); err != nil {
		return nil, err
	}
	return &api.StartRecommenderResponse{RecommenderARN: in.RecommenderARN}, nil
}

// StopRecommender takes a recommender out of service and keeps its model.
func (s *Service) StopRecommender(ctx context.Context, in *api.StopRecommenderRequest) (*api.StopRecommenderResponse, error) {
	if err := s.toggle(ctx, in.RecommenderARN, meta.Active, meta.StopPending); err != nil {
		return nil, err
	}
	return &api.StopRecommenderResponse{RecommenderARN: in.RecommenderARN}, nil
}

func (s *Service) toggle(ctx context.Context, arn, from, to string) error {
	return s.update(ctx, func(tx *meta.Tx) error {
		r, err := lookup(tx, scopeOf(ctx), meta.Recommender, arn)
		if err != nil {
			return err
		}
		if err := updatable(r, from); err != nil {
			return err
		}
		r.Status, r.Job = to, meta.Job{Kind: job.Toggle}
		return tx.Put(r)
	})
}

func (s *Service) DeleteRecommender(ctx context.Context, in *api.DeleteRecommenderRequest) (*api.DeleteRecommenderResponse, error) {
	if err := s.remove(ctx, meta.Recommender, in.RecommenderARN, nil); err != nil {
		return nil, err
	}
	return &api.DeleteRecommenderResponse{}, nil
}
