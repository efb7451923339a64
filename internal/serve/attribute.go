package serve

import (
	"context"
	"fmt"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/attribution"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/schema"
)

// measured is what the events of an Interactions dataset are measured by. It is never changed.
type measured struct {
	metrics *attribution.Metrics
	items   *dataset.Table // nil if the group has no Items dataset
}

// measuredBy reads the metric attribution of a dataset group; nil if it has none in force.
func measuredBy(tx *meta.Tx, group string, interactions *schema.Schema) (*measured, error) {
	found, err := tx.Find(meta.Query{Kind: meta.MetricAttribution, Group: group, Statuses: []string{meta.Active}, Limit: 1})
	if err != nil {
		return nil, fmt.Errorf("find the metric attribution of %s: %w", group, err)
	}
	if len(found) == 0 {
		return nil, nil
	}
	p, err := meta.Private[meta.AttributionPrivate](found[0])
	if err != nil {
		return nil, err
	}
	m := &measured{}
	var items *schema.Schema
	r, err := datasetOf(tx, group, schema.Items)
	if err != nil {
		return nil, err
	}
	if r != nil {
		t, err := table(r)
		if err != nil {
			return nil, err
		}
		m.items, items = &t, t.Schema
	}
	m.metrics = attribution.Compile(found[0].Seq, p.Metrics, interactions, items)
	return m, nil
}

// counts is what an event adds to the tally of its dataset group. An event of one source too many is refused.
func (s *Service) counts(ctx context.Context, d *sink, e *api.Event, row dataset.Row) ([]dataset.Count, error) {
	if d.measured == nil {
		return nil, nil
	}
	said := ""
	if e.MetricAttribution != nil {
		said = e.MetricAttribution.EventAttributionSource
	}
	source := attribution.SourceOf(said, func() string { return answers{s.shown, d.table.Group}.target(e.RecommendationID) })
	event := attribution.Event{Type: e.EventType, Source: source, Time: e.SentAt.Unix(), Values: row.Values}
	counts, err := d.measured.metrics.Count(event, s.clock(), func() ([]schema.Value, error) {
		if d.measured.items == nil {
			return nil, nil
		}
		item, _, err := s.engine.Lookup(ctx, *d.measured.items, row.Values[d.table.Schema.Index("ITEM_ID")].Str)
		return item.Values, err
	})
	if err != nil {
		return nil, fmt.Errorf("measure an event: %w", err)
	}
	if len(counts) > 0 && source != "" && !s.engine.AdmitSource(d.table.Group, source, attribution.MaxSources) {
		return nil, api.Errorf(api.InvalidInput, "The metric attribution of the dataset group has events of %d sources already, which is as many as it can have.", attribution.MaxSources)
	}
	return counts, nil
}
