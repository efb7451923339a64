package control

import (
	"context"
	"fmt"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/filter"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
)

// CreateFilter checks the expression at once, against the schemas that the group has now.
func (s *Service) CreateFilter(ctx context.Context, in *api.CreateFilterRequest) (*api.CreateFilterResponse, error) {
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	parsed, err := filter.Parse(in.FilterExpression)
	if err != nil {
		return nil, api.Errorf(api.InvalidInput, "%s", err)
	}
	sc := scopeOf(ctx)
	arn := sc.arn(meta.Filter, in.Name)
	err = s.update(ctx, func(tx *meta.Tx) error {
		group, err := lookup(tx, sc, meta.DatasetGroup, in.DatasetGroupARN)
		if err != nil {
			return err
		}
		if err := vacant(tx, arn); err != nil {
			return err
		}
		if err := usable(group); err != nil {
			return api.Errorf(api.InvalidInput, "Resource %s cannot be used because its status is %s.", group.ARN, group.Status) // CreateFilter has no ResourceInUse
		}
		data, err := dataOf(tx, group.ARN)
		if err != nil {
			return err
		}
		if err := parsed.Check(data.schemas); err != nil {
			return api.Errorf(api.InvalidInput, "%s", err)
		}
		if err := s.filterLimits(tx, group.ARN, parsed); err != nil {
			return err
		}
		r := &meta.Resource{ARN: arn, Kind: meta.Filter, Name: in.Name, Group: group.ARN, Parent: group.ARN, Job: meta.Job{Kind: job.Activate}}
		doc := api.Filter{Name: in.Name, FilterARN: arn, DatasetGroupARN: group.ARN, FilterExpression: in.FilterExpression}
		return s.insert(tx, sc, r, doc, nil, in.Tags)
	})
	if err != nil {
		return nil, err
	}
	return &api.CreateFilterResponse{FilterARN: arn}, nil
}

// filterLimits checks the number of filters in a group, and of distinct fields in the new filter and over all of them.
func (s *Service) filterLimits(tx *meta.Tx, group string, added *filter.Filter) error {
	others, err := tx.Find(meta.Query{Kind: meta.Filter, Group: group, Statuses: living})
	if err != nil {
		return err
	}
	if err := activeLimit(s.limits.Filters, len(others)); err != nil {
		return err
	}
	fields := map[string]bool{}
	for _, f := range added.Fields() {
		fields[f] = true
	}
	if err := fieldLimit(s.limits.FilterFields, len(fields), "a filter"); err != nil {
		return err
	}
	if s.limits.GroupFilterFields == 0 {
		return nil
	}
	for _, r := range others {
		doc, err := meta.Doc[api.Filter](r)
		if err != nil {
			return err
		}
		parsed, err := filter.Parse(doc.FilterExpression)
		if err != nil {
			return fmt.Errorf("parse the stored expression of %s: %w", r.ARN, err)
		}
		for _, f := range parsed.Fields() {
			fields[f] = true
		}
	}
	return fieldLimit(s.limits.GroupFilterFields, len(fields), "the filters of a dataset group")
}

func fieldLimit(limit, n int, of string) error {
	if limit == 0 || n <= limit {
		return nil
	}
	return api.Errorf(api.LimitExceeded, "More than %d distinct fields in %s.", limit, of)
}

func (s *Service) DescribeFilter(ctx context.Context, in *api.DescribeFilterRequest) (*api.DescribeFilterResponse, error) {
	f, err := describe[api.Filter](ctx, s, meta.Filter, in.FilterARN)
	if err != nil {
		return nil, err
	}
	return &api.DescribeFilterResponse{Filter: f}, nil
}

func (s *Service) ListFilters(ctx context.Context, in *api.ListFiltersRequest) (*api.ListFiltersResponse, error) {
	page, next, err := list[api.FilterSummary](ctx, s, listing{
		kind: meta.Filter, parentKind: meta.DatasetGroup, parent: in.DatasetGroupARN, nextToken: in.NextToken, maxResults: in.MaxResults,
	})
	if err != nil {
		return nil, err
	}
	return &api.ListFiltersResponse{Filters: page, NextToken: next}, nil
}

// DeleteFilter is refused while a batch job uses the filter.
func (s *Service) DeleteFilter(ctx context.Context, in *api.DeleteFilterRequest) (*api.DeleteFilterResponse, error) {
	err := s.remove(ctx, meta.Filter, in.FilterARN, func(tx *meta.Tx, r *meta.Resource) error {
		return idleBatch(tx, r, func(b batchJob) bool { return b.FilterARN == r.ARN })
	})
	if err != nil {
		return nil, err
	}
	return &api.DeleteFilterResponse{}, nil
}
