package control

import (
	"context"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
)

// defaultIngestionMode of an export: what came in through the events API.
const defaultIngestionMode = "PUT"

// CreateDatasetExportJob starts the export of a dataset's rows as CSV files.
func (s *Service) CreateDatasetExportJob(ctx context.Context, in *api.CreateDatasetExportJobRequest) (*api.CreateDatasetExportJobResponse, error) {
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	if in.JobOutput == nil {
		return nil, checkDestination(nil)
	}
	if err := checkDestination(in.JobOutput.S3DataDestination); err != nil {
		return nil, err
	}
	sc := scopeOf(ctx)
	arn := sc.arn(meta.ExportJob, in.JobName)
	doc := api.DatasetExportJob{JobName: in.JobName, DatasetExportJobARN: arn, DatasetARN: in.DatasetARN, IngestionMode: in.IngestionMode,
		RoleARN: in.RoleARN, JobOutput: in.JobOutput}
	if doc.IngestionMode == "" {
		doc.IngestionMode = defaultIngestionMode
	}
	err := s.update(ctx, func(tx *meta.Tx) error {
		d, err := lookup(tx, sc, meta.Dataset, in.DatasetARN)
		if err != nil {
			return err
		}
		if err := vacant(tx, arn); err != nil {
			return err
		}
		if err := usable(d); err != nil {
			return err
		}
		r := &meta.Resource{ARN: arn, Kind: meta.ExportJob, Name: in.JobName, Group: d.Group, Parent: d.ARN, Job: meta.Job{Kind: job.Export}}
		return s.insert(tx, sc, r, doc, meta.ExportPrivate{}, in.Tags)
	})
	if err != nil {
		return nil, err
	}
	return &api.CreateDatasetExportJobResponse{DatasetExportJobARN: arn}, nil
}

// DescribeDatasetExportJob describes an export.
func (s *Service) DescribeDatasetExportJob(ctx context.Context, in *api.DescribeDatasetExportJobRequest) (*api.DescribeDatasetExportJobResponse, error) {
	j, err := describe[api.DatasetExportJob](ctx, s, meta.ExportJob, in.DatasetExportJobARN)
	if err != nil {
		return nil, err
	}
	return &api.DescribeDatasetExportJobResponse{DatasetExportJob: j}, nil
}

// ListDatasetExportJobs lists the exports of a dataset, or all of the caller's.
func (s *Service) ListDatasetExportJobs(ctx context.Context, in *api.ListDatasetExportJobsRequest) (*api.ListDatasetExportJobsResponse, error) {
	page, next, err := list[api.DatasetExportJobSummary](ctx, s, listing{kind: meta.ExportJob, parentKind: meta.Dataset, parent: in.DatasetARN,
		nextToken: in.NextToken, maxResults: in.MaxResults})
	if err != nil {
		return nil, err
	}
	return &api.ListDatasetExportJobsResponse{DatasetExportJobs: page, NextToken: next}, nil
}
