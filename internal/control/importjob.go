package control

import (
	"context"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
)

// Modes of an import.
const (
	fullImport        = "FULL"
	incrementalImport = "INCREMENTAL"
)

// CreateDatasetImportJob starts the import of CSV files into a dataset. What is wrong with the files shows in the job's status.
func (s *Service) CreateDatasetImportJob(ctx context.Context, in *api.CreateDatasetImportJobRequest) (*api.CreateDatasetImportJobResponse, error) {
	if err := checkImport(in); err != nil {
		return nil, err
	}
	sc := scopeOf(ctx)
	arn := sc.arn(meta.ImportJob, in.JobName)
	doc := api.DatasetImportJob{JobName: in.JobName, DatasetImportJobARN: arn, DatasetARN: in.DatasetARN, DataSource: in.DataSource, RoleARN: in.RoleARN,
		ImportMode: in.ImportMode, PublishAttributionMetricsToS3: new(in.PublishAttributionMetricsToS3 != nil && *in.PublishAttributionMetricsToS3)}
	if doc.ImportMode == "" {
		doc.ImportMode = fullImport
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
		if err := s.checkImportInto(tx, d, doc.ImportMode); err != nil {
			return err
		}
		counted, err := measured(tx, d, doc.ImportMode, *doc.PublishAttributionMetricsToS3)
		if err != nil {
			return err
		}
		r := &meta.Resource{ARN: arn, Kind: meta.ImportJob, Name: in.JobName, Group: d.Group, Parent: d.ARN, Job: meta.Job{Kind: job.Import, Lane: d.ARN}}
		return s.insert(tx, sc, r, doc, meta.ImportPrivate{ID: newDirectory(), Attribution: counted}, in.Tags)
	})
	if err != nil {
		return nil, err
	}
	return &api.CreateDatasetImportJobResponse{DatasetImportJobARN: arn}, nil
}

func checkImport(in *api.CreateDatasetImportJobRequest) error {
	if err := checkTags(in.Tags); err != nil {
		return err
	}
	if err := checkSource(in.DataSource, ""); err != nil {
		return err
	}
	if in.RoleARN == "" {
		return api.Errorf(api.InvalidInput, "roleArn is required: the role whose permissions the import reads Amazon S3 with.")
	}
	return nil
}

// checkImportInto holds the rules about other imports: one at a time, the first one whole, and not too many.
func (s *Service) checkImportInto(tx *meta.Tx, d *meta.Resource, mode string) error {
	imports, err := tx.Find(meta.Query{Kind: meta.ImportJob, Parent: d.ARN})
	if err != nil {
		return err
	}
	imported := false
	for _, other := range imports {
		if isPending(other) {
			return blocked(d, other)
		}
		// A dataset of the same name may have been here before; its imports are older than this one.
		imported = imported || other.Status == meta.Active && other.Seq > d.Seq
	}
	if mode == incrementalImport && !imported {
		return api.Errorf(api.InvalidInput, "Import mode INCREMENTAL needs a dataset with a completed bulk import. Import with mode FULL first.")
	}
	n, err := tx.Count(meta.Query{Kind: meta.ImportJob, Scope: d.Scope, Statuses: pending})
	if err != nil {
		return err
	}
	return pendingLimit(s.limits.ImportJobs, n)
}

// DescribeDatasetImportJob describes an import.
func (s *Service) DescribeDatasetImportJob(ctx context.Context, in *api.DescribeDatasetImportJobRequest) (*api.DescribeDatasetImportJobResponse, error) {
	j, err := describe[api.DatasetImportJob](ctx, s, meta.ImportJob, in.DatasetImportJobARN)
	if err != nil {
		return nil, err
	}
	return &api.DescribeDatasetImportJobResponse{DatasetImportJob: j}, nil
}

// ListDatasetImportJobs lists the imports into a dataset, or all of the caller's.
func (s *Service) ListDatasetImportJobs(ctx context.Context, in *api.ListDatasetImportJobsRequest) (*api.ListDatasetImportJobsResponse, error) {
	page, next, err := list[api.DatasetImportJobSummary](ctx, s, listing{kind: meta.ImportJob, parentKind: meta.Dataset, parent: in.DatasetARN,
		nextToken: in.NextToken, maxResults: in.MaxResults})
	if err != nil {
		return nil, err
	}
	return &api.ListDatasetImportJobsResponse{DatasetImportJobs: page, NextToken: next}, nil
}
