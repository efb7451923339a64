package serve

import (
	"context"
	"errors"
	"fmt"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/schema"
)

// sink is a dataset as the Put operations see it. It is never changed.
type sink struct {
	arn    string
	scope  string
	status string
	table  dataset.Table

	measured *measured // of interactions: what counts them, nil if nothing does
}

func sinkOf(r *meta.Resource) (*sink, error) {
	t, err := table(r)
	return &sink{arn: r.ARN, scope: r.Scope, status: r.Status, table: t}, err
}

// usable says why records cannot be stored now.
func (d *sink) usable() error {
	switch d.status {
	case meta.Active:
		return nil
	case meta.CreateFailed:
		return api.Errorf(api.InvalidInput, "Resource Arn %s is in status %s.", d.arn, d.status)
	default:
		return api.Errorf(api.ResourceInUse, "Resource Arn %s is in status %s. Try again when it is ACTIVE.", d.arn, d.status)
	}
}

// going words the error of store for a dataset that was deleted since it was looked up.
func (d *sink) going(err error) error {
	if errors.Is(err, dataset.ErrNoTable) {
		return (&sink{arn: d.arn, status: meta.DeleteInProgress}).usable()
	}
	return err
}

// dataset finds the dataset of a datasetArn, ready to take records of that type.
func (s *Service) dataset(ctx context.Context, arn string, kind schema.Type) (*sink, error) {
	d, _, err := lookup(ctx, s.catalog, meta.Dataset+" "+arn, func(tx *meta.Tx) (*sink, error) {
		r, err := tx.Get(arn)
		if errors.Is(err, meta.ErrNotFound) || err == nil && r.Kind != meta.Dataset {
			return nil, notFound(arn)
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", arn, err)
		}
		return sinkOf(r)
	})
	switch {
	case err != nil:
		return nil, err
	case d.scope != scope(ctx):
		return nil, notFound(arn)
	case d.table.Schema.Type != kind:
		return nil, api.Errorf(api.InvalidInput, "Resource Arn %s is a dataset of type %s. This operation needs one of type %s.", arn, d.table.Schema.Type, kind)
	}
	api.CallerFrom(ctx).Found(d.arn)
	return d, d.usable()
}

// actionInteractions finds the dataset of PutActionInteractions by the tracking ID that DescribeDataset shows.
func (s *Service) actionInteractions(ctx context.Context, tracking string) (*sink, error) {
	unknown := api.Errorf(api.ResourceNotFound, "No Action_Interactions dataset has the given tracking ID.")
	where := scope(ctx)
	d, _, err := lookup(ctx, s.catalog, "actions "+where+" "+tracking, func(tx *meta.Tx) (*sink, error) {
		rows, err := tx.Find(meta.Query{Kind: meta.Dataset, Scope: where})
		if err != nil {
			return nil, fmt.Errorf("find datasets: %w", err)
		}
		for _, r := range rows {
			d, err := meta.Doc[api.Dataset](r)
			if err != nil {
				return nil, err
			}
			if d.TrackingID == tracking {
				return sinkOf(r)
			}
		}
		return nil, unknown
	})
	if err != nil {
		return nil, err
	}
	if d.table.Schema.Type != schema.ActionInteractions {
		return nil, unknown
	}
	api.CallerFrom(ctx).Found(d.arn)
	return d, d.usable()
}

// interactions finds the dataset of PutEvents by the tracking ID of an event tracker. PutEvents knows no error but InvalidInputException.
func (s *Service) interactions(ctx context.Context, tracking string) (*sink, error) {
	where := scope(ctx)
	d, _, err := lookup(ctx, s.catalog, "tracker "+where+" "+tracking, func(tx *meta.Tx) (*sink, error) {
		group, err := trackedGroup(tx, where, tracking)
		if err != nil {
			return nil, err
		}
		r, err := datasetOf(tx, group, schema.Interactions)
		if err != nil {
			return nil, err
		}
		if r == nil {
			return nil, api.Errorf(api.InvalidInput, "The dataset group of the event tracker has no Interactions dataset.")
		}
		d, err := sinkOf(r)
		if err != nil {
			return nil, err
		}
		d.measured, err = measuredBy(tx, group, d.table.Schema)
		return d, err
	})
	if err != nil {
		return nil, err
	}
	api.CallerFrom(ctx).Found(d.arn)
	if d.status != meta.Active {
		return nil, api.Errorf(api.InvalidInput, "Resource Arn %s is in status %s.", d.arn, d.status)
	}
	return d, nil
}

// trackedGroup finds the dataset group of an active event tracker.
func trackedGroup(tx *meta.Tx, where, tracking string) (string, error) {
	rows, err := tx.Find(meta.Query{Kind: meta.EventTracker, Scope: where})
	if err != nil {
		return "", fmt.Errorf("find event trackers: %w", err)
	}
	for _, r := range rows {
		d, err := meta.Doc[api.EventTracker](r)
		switch {
		case err != nil:
			return "", err
		case d.TrackingID != tracking:
			continue
		case r.Status != meta.Active:
			return "", api.Errorf(api.InvalidInput, "Resource Arn %s is in status %s.", r.ARN, r.Status)
		}
		return r.Group, nil
	}
	return "", api.Errorf(api.InvalidInput, "The tracking ID is unknown.")
}

// store writes the records durably, and with them what they add to the tally. If the log cannot keep up the client is asked to come again.
func (s *Service) store(ctx context.Context, d *sink, rows []dataset.Row, counts ...dataset.Count) error {
	err := s.engine.Put(ctx, d.table, rows, counts...)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, dataset.ErrBusy):
		return api.Errorf(api.Throttling, "Rate exceeded.")
	case errors.Is(err, dataset.ErrFull):
		return api.Errorf(api.ServiceUnavailable, "The disk of the server is full. Try again later.")
	}
	return fmt.Errorf("store records of %s: %w", d.arn, err)
}
