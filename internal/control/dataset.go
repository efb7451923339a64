package control

import (
	"context"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/attribution"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/schema"
)

// CreateDataset creates an empty dataset of a type that its group does not have yet.
func (s *Service) CreateDataset(ctx context.Context, in *api.CreateDatasetRequest) (*api.CreateDatasetResponse, error) {
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	kind, ok := schema.ParseType(in.DatasetType)
	if !ok {
		return nil, api.Errorf(api.InvalidInput, "Dataset type %s is not valid. It must be one of Interactions, Items, Users, Actions, Action_Interactions.", in.DatasetType)
	}
	sc := scopeOf(ctx)
	var arn string
	err := s.update(ctx, func(tx *meta.Tx) error {
		described, err := lookup(tx, sc, meta.Schema, in.SchemaARN)
		if err != nil {
			return err
		}
		group, err := lookup(tx, sc, meta.DatasetGroup, in.DatasetGroupARN)
		if err != nil {
			return err
		}
		arn = sc.arn(meta.Dataset, group.Name+"/"+string(kind))
		if err := vacant(tx, arn); err != nil {
			return err
		}
		if err := usable(group); err != nil {
			return err
		}
		private, err := newTable(group, described, kind)
		if err != nil {
			return err
		}
		doc := api.Dataset{Name: in.Name, DatasetARN: arn, DatasetGroupARN: group.ARN, DatasetType: string(kind), SchemaARN: described.ARN}
		if kind == schema.ActionInteractions {
			doc.TrackingID = newUUID() // its tracker is implicit
		}
		r := &meta.Resource{ARN: arn, Kind: meta.Dataset, Name: in.Name, Group: group.ARN, Parent: group.ARN, Job: meta.Job{Kind: job.Activate, Lane: arn}}
		return s.insert(tx, sc, r, doc, private, in.Tags)
	})
	if err != nil {
		return nil, err
	}
	return &api.CreateDatasetResponse{DatasetARN: arn}, nil
}

// newTable checks that a group can have a dataset of this type with this schema, and returns what the engine needs of it.
func newTable(group, described *meta.Resource, kind schema.Type) (*meta.DatasetPrivate, error) {
	g, err := meta.Doc[api.DatasetGroup](group)
	if err != nil {
		return nil, err
	}
	id, err := meta.Private[meta.GroupPrivate](group)
	if err != nil {
		return nil, err
	}
	text, parsed, err := schemaOf(described)
	if err != nil {
		return nil, err
	}
	if g.Domain != "" && (kind == schema.Actions || kind == schema.ActionInteractions) {
		return nil, api.Errorf(api.InvalidInput, "A dataset group with domain %s cannot have a dataset of type %s.", g.Domain, kind)
	}
	if parsed.Domain != g.Domain {
		return nil, api.Errorf(api.InvalidInput, "The domain of schema %s does not match the domain of dataset group %s.", described.ARN, group.ARN)
	}
	if parsed.Type != kind {
		return nil, api.Errorf(api.InvalidInput, "Schema %s is for datasets of type %s, not %s.", described.ARN, parsed.Type, kind)
	}
	return &meta.DatasetPrivate{Group: id.ID, Table: newDirectory(), Type: string(kind), Domain: g.Domain, Schema: text}, nil
}

// schemaOf returns the text of a schema and what it says.
func schemaOf(described *meta.Resource) (text string, parsed *schema.Schema, err error) {
	doc, err := meta.Doc[api.DatasetSchema](described)
	if err != nil {
		return "", nil, err
	}
	parsed, err = schema.Parse(doc.Schema, doc.Domain)
	return doc.Schema, parsed, err
}

// DescribeDataset describes a dataset.
func (s *Service) DescribeDataset(ctx context.Context, in *api.DescribeDatasetRequest) (*api.DescribeDatasetResponse, error) {
	d, err := describe[api.Dataset](ctx, s, meta.Dataset, in.DatasetARN)
	if err != nil {
		return nil, err
	}
	return &api.DescribeDatasetResponse{Dataset: d}, nil
}

// ListDatasets lists the datasets of a group, or all of the caller's.
func (s *Service) ListDatasets(ctx context.Context, in *api.ListDatasetsRequest) (*api.ListDatasetsResponse, error) {
	page, next, err := list[api.DatasetSummary](ctx, s, listing{kind: meta.Dataset, parentKind: meta.DatasetGroup, parent: in.DatasetGroupARN,
		nextToken: in.NextToken, maxResults: in.MaxResults})
	if err != nil {
		return nil, err
	}
	return &api.ListDatasetsResponse{Datasets: page, NextToken: next}, nil
}

// UpdateDataset gives an Items or Users dataset a schema with more columns. The old one stays in force until the job has ended well.
func (s *Service) UpdateDataset(ctx context.Context, in *api.UpdateDatasetRequest) (*api.UpdateDatasetResponse, error) {
	sc := scopeOf(ctx)
	err := s.update(ctx, func(tx *meta.Tx) error {
		d, err := lookup(tx, sc, meta.Dataset, in.DatasetARN)
		if err != nil {
			return err
		}
		described, err := lookup(tx, sc, meta.Schema, in.SchemaARN)
		if err != nil {
			return err
		}
		if d.Status != meta.Active {
			return inUse(d)
		}
		if err := none(tx, d, meta.Query{Parent: d.ARN, Statuses: pending}); err != nil {
			return err // an import or export runs on the old columns
		}
		return s.enqueueUpdate(tx, d, described)
	})
	if err != nil {
		return nil, err
	}
	return &api.UpdateDatasetResponse{DatasetARN: in.DatasetARN}, nil
}

func (s *Service) enqueueUpdate(tx *meta.Tx, d, described *meta.Resource) error {
	doc, err := meta.Doc[api.Dataset](d)
	if err != nil {
		return err
	}
	private, err := meta.Private[meta.DatasetPrivate](d)
	if err != nil {
		return err
	}
	current, err := schema.Parse(private.Schema, private.Domain)
	if err != nil {
		return err
	}
	text, next, err := schemaOf(described)
	if err != nil {
		return err
	}
	if err := current.CanReplace(next); err != nil {
		return api.Errorf(api.InvalidInput, "%v", err)
	}
	now := api.NewTime(s.now())
	doc.LatestDatasetUpdate = &api.DatasetUpdateSummary{SchemaARN: described.ARN, Status: meta.UpdatePending, CreationDateTime: now, LastUpdatedDateTime: now}
	private.NextSchema = text
	if err := d.SetDoc(doc); err != nil {
		return err
	}
	if err := d.SetPrivate(private); err != nil {
		return err
	}
	d.Status = meta.UpdatePending
	d.Job = meta.Job{Kind: job.Update, Lane: d.ARN}
	return tx.Put(d)
}

// DeleteDataset deletes a dataset and its rows. Its schema stays.
func (s *Service) DeleteDataset(ctx context.Context, in *api.DeleteDatasetRequest) (*api.DeleteDatasetResponse, error) {
	err := s.remove(ctx, meta.Dataset, in.DatasetARN, func(tx *meta.Tx, d *meta.Resource) error {
		private, err := meta.Private[meta.DatasetPrivate](d)
		if err != nil {
			return err
		}
		for _, q := range datasetBlockers(d, schema.Type(private.Type)) {
			if err := none(tx, d, q); err != nil {
				return err
			}
		}
		return unmeasured(tx, d, schema.Type(private.Type))
	})
	return &api.DeleteDatasetResponse{}, err
}

// datasetBlockers are the queries that must find nothing before a dataset can go: what is built on it, and what may be reading or writing it.
func datasetBlockers(d *meta.Resource, kind schema.Type) []meta.Query {
	blockers := []meta.Query{
		{Parent: d.ARN, Statuses: pending}, // imports and exports
		{Group: d.Group, Kind: meta.Filter},
		{Group: d.Group, Kind: meta.Campaign, Statuses: []string{meta.CreatePending, meta.CreateInProgress, meta.Active}},
	}
	for _, reader := range []string{meta.DeletionJob, meta.SolutionVersion, meta.Recommender, meta.BatchInferenceJob, meta.BatchSegmentJob} {
		blockers = append(blockers, meta.Query{Group: d.Group, Kind: reader, Statuses: pending})
	}
	if kind == schema.Interactions {
		blockers = append(blockers, meta.Query{Group: d.Group, Kind: meta.EventTracker}, meta.Query{Group: d.Group, Kind: meta.MetricAttribution})
	}
	return blockers
}

// unmeasured checks that no metric attribution of the group sums a column of the dataset.
func unmeasured(tx *meta.Tx, d *meta.Resource, kind schema.Type) error {
	attributions, err := tx.Find(meta.Query{Kind: meta.MetricAttribution, Group: d.Group})
	if err != nil {
		return err
	}
	for _, a := range attributions {
		private, err := meta.Private[meta.AttributionPrivate](a)
		if err != nil {
			return err
		}
		for _, m := range private.Metrics {
			if e, ok := attribution.Parse(m.Expression); ok && e.Of == kind {
				return blocked(d, a)
			}
		}
	}
	return nil
}
