package control

import (
	"context"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/schema"
)

// CreateSchema creates a schema, which belongs to the account and never changes. It is usable when the call returns.
func (s *Service) CreateSchema(ctx context.Context, in *api.CreateSchemaRequest) (*api.CreateSchemaResponse, error) {
	if _, err := schema.Parse(in.Schema, in.Domain); err != nil {
		return nil, api.Errorf(api.InvalidInput, "%v", err)
	}
	sc := scopeOf(ctx)
	arn := sc.arn(meta.Schema, in.Name)
	err := s.update(ctx, func(tx *meta.Tx) error {
		if err := vacant(tx, arn); err != nil {
			return err
		}
		n, err := tx.Count(meta.Query{Kind: meta.Schema, Scope: sc.id()})
		if err != nil {
			return err
		}
		if err := activeLimit(s.limits.Schemas, n); err != nil {
			return err
		}
		doc := api.DatasetSchema{Name: in.Name, SchemaARN: arn, Schema: in.Schema, Domain: in.Domain}
		return s.insert(tx, sc, &meta.Resource{ARN: arn, Kind: meta.Schema, Name: in.Name}, doc, nil, nil)
	})
	if err != nil {
		return nil, err
	}
	return &api.CreateSchemaResponse{SchemaARN: arn}, nil
}

// DescribeSchema describes a schema; its text comes back byte for byte.
func (s *Service) DescribeSchema(ctx context.Context, in *api.DescribeSchemaRequest) (*api.DescribeSchemaResponse, error) {
	schema, err := describe[api.DatasetSchema](ctx, s, meta.Schema, in.SchemaARN)
	if err != nil {
		return nil, err
	}
	return &api.DescribeSchemaResponse{Schema: schema}, nil
}

// ListSchemas lists the caller's schemas.
func (s *Service) ListSchemas(ctx context.Context, in *api.ListSchemasRequest) (*api.ListSchemasResponse, error) {
	page, next, err := list[api.DatasetSchemaSummary](ctx, s, listing{kind: meta.Schema, nextToken: in.NextToken, maxResults: in.MaxResults})
	if err != nil {
		return nil, err
	}
	return &api.ListSchemasResponse{Schemas: page, NextToken: next}, nil
}

// DeleteSchema deletes a schema that no dataset uses, at once.
func (s *Service) DeleteSchema(ctx context.Context, in *api.DeleteSchemaRequest) (*api.DeleteSchemaResponse, error) {
	sc := scopeOf(ctx)
	err := s.update(ctx, func(tx *meta.Tx) error {
		schema, err := lookup(tx, sc, meta.Schema, in.SchemaARN)
		if err != nil {
			return err
		}
		datasets, err := tx.Find(meta.Query{Kind: meta.Dataset, Scope: sc.id()})
		if err != nil {
			return err
		}
		for _, d := range datasets {
			used, err := usesSchema(d, schema.ARN)
			if err != nil {
				return err
			}
			if used {
				return blocked(schema, d)
			}
		}
		return tx.Delete(schema.ARN)
	})
	return &api.DeleteSchemaResponse{}, err
}

// usesSchema says whether a dataset has the schema, or is about to get it. One that was replaced is free.
func usesSchema(d *meta.Resource, schema string) (bool, error) {
	doc, err := meta.Doc[api.Dataset](d)
	if err != nil {
		return false, err
	}
	updating := d.Status == meta.UpdatePending || d.Status == meta.UpdateInProgress
	return doc.SchemaARN == schema || updating && doc.LatestDatasetUpdate != nil && doc.LatestDatasetUpdate.SchemaARN == schema, nil
}
