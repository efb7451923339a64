package control

import (
	"context"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
)

// CreateDataDeletionJob starts the deletion of all references to the listed users from a dataset group. The jobs of a group run one after the
// other, beside whatever else goes on in it. numDeleted enters the record when the job has completed.
func (s *Service) CreateDataDeletionJob(ctx context.Context, in *api.CreateDataDeletionJobRequest) (*api.CreateDataDeletionJobResponse, error) {
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	if err := checkSource(in.DataSource, ".csv"); err != nil {
		return nil, err
	}
	sc := scopeOf(ctx)
	arn := sc.arn(meta.DeletionJob, in.JobName)
	doc := api.DataDeletionJob{JobName: in.JobName, DataDeletionJobARN: arn, DatasetGroupARN: in.DatasetGroupARN, DataSource: in.DataSource, RoleARN: in.RoleARN}
	err := s.update(ctx, func(tx *meta.Tx) error {
		group, err := lookup(tx, sc, meta.DatasetGroup, in.DatasetGroupARN)
		if err != nil {
			return err
		}
		if err := vacant(tx, arn); err != nil {
			return err
		}
		if err := usable(group); err != nil {
			return err
		}
		n, err := tx.Count(meta.Query{Kind: meta.DeletionJob, Group: group.ARN, Statuses: []string{meta.Pending}})
		if err != nil {
			return err
		}
		if err := pendingLimit(s.limits.PendingDeletionJobs, n); err != nil {
			return err
		}
		r := &meta.Resource{ARN: arn, Kind: meta.DeletionJob, Name: in.JobName, Group: group.ARN, Parent: group.ARN, Status: meta.Pending,
			Job: meta.Job{Kind: job.Erase, Lane: group.ARN}}
		return s.insert(tx, sc, r, doc, meta.DeletionPrivate{ID: newDirectory()}, in.Tags)
	})
	if err != nil {
		return nil, err
	}
	return &api.CreateDataDeletionJobResponse{DataDeletionJobARN: arn}, nil
}

// DescribeDataDeletionJob describes a data deletion job.
func (s *Service) DescribeDataDeletionJob(ctx context.Context, in *api.DescribeDataDeletionJobRequest) (*api.DescribeDataDeletionJobResponse, error) {
	j, err := describe[api.DataDeletionJob](ctx, s, meta.DeletionJob, in.DataDeletionJobARN)
	if err != nil {
		return nil, err
	}
	return &api.DescribeDataDeletionJobResponse{DataDeletionJob: j}, nil
}

// ListDataDeletionJobs lists the data deletion jobs of a group, or all of the caller's.
func (s *Service) ListDataDeletionJobs(ctx context.Context, in *api.ListDataDeletionJobsRequest) (*api.ListDataDeletionJobsResponse, error) {
	page, next, err := list[api.DataDeletionJobSummary](ctx, s, listing{kind: meta.DeletionJob, parentKind: meta.DatasetGroup, parent: in.DatasetGroupARN,
		nextToken: in.NextToken, maxResults: in.MaxResults})
	if err != nil {
		return nil, err
	}
	return &api.ListDataDeletionJobsResponse{DataDeletionJobs: page, NextToken: next}, nil
}
