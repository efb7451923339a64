package control

import (
	"context"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
)

// CreateDatasetGroup creates the container of everything else but schemas.
func (s *Service) CreateDatasetGroup(ctx context.Context, in *api.CreateDatasetGroupRequest) (*api.CreateDatasetGroupResponse, error) {
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	if (in.RoleARN == "") != (in.KMSKeyARN == "") {
		return nil, api.Errorf(api.InvalidInput, "roleArn and kmsKeyArn must be given together or not at all.")
	}
	sc := scopeOf(ctx)
	arn := sc.arn(meta.DatasetGroup, in.Name)
	err := s.update(ctx, func(tx *meta.Tx) error {
		if err := vacant(tx, arn); err != nil {
			return err
		}
		n, err := tx.Count(meta.Query{Kind: meta.DatasetGroup, Scope: sc.id(), Statuses: living})
		if err != nil {
			return err
		}
		if err := activeLimit(s.limits.DatasetGroups, n); err != nil {
			return err
		}
		doc := api.DatasetGroup{Name: in.Name, DatasetGroupARN: arn, RoleARN: in.RoleARN, KMSKeyARN: in.KMSKeyARN, Domain: in.Domain}
		return s.insert(tx, sc, &meta.Resource{ARN: arn, Kind: meta.DatasetGroup, Name: in.Name, Job: meta.Job{Kind: job.Activate}},
			doc, meta.GroupPrivate{ID: newDirectory()}, in.Tags)
	})
	if err != nil {
		return nil, err
	}
	return &api.CreateDatasetGroupResponse{DatasetGroupARN: arn, Domain: in.Domain}, nil
}

// DescribeDatasetGroup describes a dataset group.
func (s *Service) DescribeDatasetGroup(ctx context.Context, in *api.DescribeDatasetGroupRequest) (*api.DescribeDatasetGroupResponse, error) {
	group, err := describe[api.DatasetGroup](ctx, s, meta.DatasetGroup, in.DatasetGroupARN)
	if err != nil {
		return nil, err
	}
	return &api.DescribeDatasetGroupResponse{DatasetGroup: group}, nil
}

// ListDatasetGroups lists the caller's dataset groups.
func (s *Service) ListDatasetGroups(ctx context.Context, in *api.ListDatasetGroupsRequest) (*api.ListDatasetGroupsResponse, error) {
	page, next, err := list[api.DatasetGroupSummary](ctx, s, listing{kind: meta.DatasetGroup, nextToken: in.NextToken, maxResults: in.MaxResults})
	if err != nil {
		return nil, err
	}
	return &api.ListDatasetGroupsResponse{DatasetGroups: page, NextToken: next}, nil
}

// groupChildren are the kinds that a client deletes himself before their group. Versions go with their solution, and the records of jobs with the group.
var groupChildren = [...]string{meta.Campaign, meta.Recommender, meta.Solution, meta.EventTracker, meta.MetricAttribution, meta.Filter, meta.Dataset}

// DeleteDatasetGroup deletes an empty dataset group.
func (s *Service) DeleteDatasetGroup(ctx context.Context, in *api.DeleteDatasetGroupRequest) (*api.DeleteDatasetGroupResponse, error) {
	err := s.remove(ctx, meta.DatasetGroup, in.DatasetGroupARN, func(tx *meta.Tx, group *meta.Resource) error {
		for _, kind := range groupChildren {
			if err := none(tx, group, meta.Query{Kind: kind, Group: group.ARN}); err != nil {
				return err
			}
		}
		return none(tx, group, meta.Query{Group: group.ARN, Statuses: pending})
	})
	return &api.DeleteDatasetGroupResponse{}, err
}
