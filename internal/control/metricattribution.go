package control

import (
	"context"
	"errors"
	"slices"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/attribution"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/schema"
)

// maxMetrics is the number of metrics in one attribution.
const maxMetrics = 10

// CreateMetricAttribution defines the reports of a dataset group, which can have one such definition. Metric attributions have no tags.
func (s *Service) CreateMetricAttribution(ctx context.Context, in *api.CreateMetricAttributionRequest) (*api.CreateMetricAttributionResponse, error) {
	if err := distinctMetrics(in.Metrics); err != nil {
		return nil, err
	}
	if err := checkReports(in.MetricsOutputConfig); err != nil {
		return nil, err
	}
	sc := scopeOf(ctx)
	arn := sc.arn(meta.MetricAttribution, in.Name)
	err := s.update(ctx, func(tx *meta.Tx) error {
		group, err := lookup(tx, sc, meta.DatasetGroup, in.DatasetGroupARN)
		if err != nil {
			return err
		}
		if err := vacant(tx, arn); err != nil {
			return err
		}
		others, err := tx.Find(meta.Query{Kind: meta.MetricAttribution, Group: group.ARN, Limit: 1})
		if err != nil {
			return err
		}
		if len(others) > 0 {
			return api.Errorf(api.ResourceAlreadyExists, "Dataset group %s already has the metric attribution %s.", group.ARN, others[0].ARN)
		}
		if err := usable(group); err != nil {
			return err
		}
		data, err := dataOf(tx, group.ARN)
		if err != nil {
			return err
		}
		if err := checkMetrics(in.Metrics, data); err != nil {
			return err
		}
		r := &meta.Resource{
			ARN: arn, Kind: meta.MetricAttribution, Name: in.Name, Group: group.ARN, Parent: group.ARN, Job: meta.Job{Kind: job.Activate},
		}
		doc := api.MetricAttribution{Name: in.Name, MetricAttributionARN: arn, DatasetGroupARN: group.ARN, MetricsOutputConfig: in.MetricsOutputConfig}
		return s.insert(tx, sc, r, doc, meta.AttributionPrivate{Metrics: storedMetrics(in.Metrics)}, nil)
	})
	if err != nil {
		return nil, err
	}
	return &api.CreateMetricAttributionResponse{MetricAttributionARN: arn}, nil
}

// checkReports checks where reports of imports go, if they go anywhere.
func checkReports(output *api.MetricAttributionOutput) error {
	if output == nil || output.S3DataDestination == nil {
		return nil
	}
	return checkDestination(output.S3DataDestination)
}

func storedMetrics(metrics []api.MetricAttribute) []meta.AttributionMetric {
	stored := make([]meta.AttributionMetric, len(metrics))
	for i, m := range metrics {
		stored[i] = meta.AttributionMetric(m)
	}
	return stored
}

func distinctMetrics(metrics []api.MetricAttribute) error {
	for i, m := range metrics {
		if named(metrics[:i], m.MetricName) >= 0 {
			return api.Errorf(api.InvalidInput, "Metric name %s is given more than once.", m.MetricName)
		}
	}
	return nil
}

func named(metrics []api.MetricAttribute, name string) int {
	return slices.IndexFunc(metrics, func(m api.MetricAttribute) bool { return m.MetricName == name })
}

// checkMetrics checks the metrics' expressions against the group's schemas.
func checkMetrics(metrics []api.MetricAttribute, data groupData) error {
	if !data.has(schema.Interactions, "EVENT_TYPE") {
		return api.Errorf(api.InvalidInput, "A metric attribution requires an Interactions dataset with an EVENT_TYPE column.")
	}
	for _, m := range metrics {
		if err := checkExpression(m, data); err != nil {
			return err
		}
	}
	return nil
}

func checkExpression(m api.MetricAttribute, data groupData) error {
	e, ok := attribution.Parse(m.Expression)
	if !ok {
		return api.Errorf(api.InvalidInput, "The expression of metric %s must be SAMPLECOUNT() or SUM(DatasetType.COLUMN_NAME).", m.MetricName)
	}
	if e.Of == "" {
		return nil
	}
	t := e.Of
	if t != schema.Interactions && t != schema.Items {
		return api.Errorf(api.InvalidInput, "The expression of metric %s can only sum a column of Items or Interactions.", m.MetricName)
	}
	schema := data.schemas[t]
	if schema == nil {
		return api.Errorf(api.InvalidInput, "Dataset group does not have a dataset of type %s.", t)
	}
	if i := schema.Match(e.Column); i < 0 || !schema.Fields[i].Kind.Numeric() {
		return api.Errorf(api.InvalidInput, "The expression of metric %s must name a numeric column of dataset %s.", m.MetricName, t)
	}
	return nil
}

func (s *Service) DescribeMetricAttribution(ctx context.Context, in *api.DescribeMetricAttributionRequest) (*api.DescribeMetricAttributionResponse, error) {
	m, err := describe[api.MetricAttribution](ctx, s, meta.MetricAttribution, in.MetricAttributionARN)
	if err != nil {
		return nil, err
	}
	return &api.DescribeMetricAttributionResponse{MetricAttribution: m}, nil
}

func (s *Service) ListMetricAttributions(ctx context.Context, in *api.ListMetricAttributionsRequest) (*api.ListMetricAttributionsResponse, error) {
	page, next, err := list[api.MetricAttributionSummary](ctx, s, listing{
		kind: meta.MetricAttribution, parentKind: meta.DatasetGroup, parent: in.DatasetGroupARN, nextToken: in.NextToken, maxResults: in.MaxResults,
	})
	if err != nil {
		return nil, err
	}
	return &api.ListMetricAttributionsResponse{MetricAttributions: page, NextToken: next}, nil
}

// ListMetricAttributionMetrics lists the metrics in the order in which they were added.
func (s *Service) ListMetricAttributionMetrics(ctx context.Context, in *api.ListMetricAttributionMetricsRequest) (*api.ListMetricAttributionMetricsResponse, error) {
	if in.MetricAttributionARN == "" {
		return nil, errNoAttribution()
	}
	var all []api.MetricAttribute
	err := s.meta.View(ctx, func(tx *meta.Tx) error {
		r, err := lookup(tx, scopeOf(ctx), meta.MetricAttribution, in.MetricAttributionARN)
		if absent := (*api.Error)(nil); errors.As(err, &absent) {
			return api.Errorf(api.InvalidInput, "%s", absent.Message) // the operation has no ResourceNotFound
		}
		if err != nil {
			return err
		}
		all, err = metricsOf(r)
		return err
	})
	if err != nil {
		return nil, err
	}
	page, next, err := pageOf(ctx, s, "metric", in.MetricAttributionARN, all, in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	return &api.ListMetricAttributionMetricsResponse{Metrics: page, NextToken: next}, nil
}

func errNoAttribution() error {
	return api.Errorf(api.InvalidInput, "metricAttributionArn is required.")
}

func metricsOf(r *meta.Resource) ([]api.MetricAttribute, error) {
	private, err := meta.Private[meta.AttributionPrivate](r)
	if err != nil {
		return nil, err
	}
	metrics := make([]api.MetricAttribute, len(private.Metrics))
	for i, m := range private.Metrics {
		metrics[i] = api.MetricAttribute(m)
	}
	return metrics, nil
}

// measured is how an import into a dataset counts for the metric attribution of its group, nil if it does not: metrics take what incremental imports bring,
// reports what the client wants reported.
func measured(tx *meta.Tx, d *meta.Resource, mode string, report bool) (*meta.ImportAttribution, error) {
	p, err := meta.Private[meta.DatasetPrivate](d)
	if err != nil {
		return nil, err
	}
	interactions := p.Type == string(schema.Interactions)
	if !report && (mode != incrementalImport || !interactions) {
		return nil, nil
	}
	if !interactions {
		return nil, api.Errorf(api.InvalidInput, "publishAttributionMetricsToS3 needs a dataset of type %s.", schema.Interactions)
	}
	found, err := tx.Find(meta.Query{Kind: meta.MetricAttribution, Group: d.Group, Statuses: []string{meta.Active}, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		if report {
			return nil, api.Errorf(api.InvalidInput, "publishAttributionMetricsToS3 needs a metric attribution with status ACTIVE in the dataset group.")
		}
		return nil, nil
	}
	r := found[0]
	private, err := meta.Private[meta.AttributionPrivate](r)
	if err != nil {
		return nil, err
	}
	out := &meta.ImportAttribution{ID: r.Seq, Metrics: private.Metrics}
	if !report {
		return out, nil
	}
	doc, err := meta.Doc[api.MetricAttribution](r)
	if err != nil {
		return nil, err
	}
	if doc.MetricsOutputConfig == nil || doc.MetricsOutputConfig.S3DataDestination == nil {
		return nil, api.Errorf(api.InvalidInput, "publishAttributionMetricsToS3 needs a metric attribution with an Amazon S3 destination.")
	}
	out.Path, out.KMSKeyARN = doc.MetricsOutputConfig.S3DataDestination.Path, doc.MetricsOutputConfig.S3DataDestination.KMSKeyARN
	return out, nil
}

// UpdateMetricAttribution removes, then adds metrics, and replaces the output; all of it takes effect at once.
func (s *Service) UpdateMetricAttribution(ctx context.Context, in *api.UpdateMetricAttributionRequest) (*api.UpdateMetricAttributionResponse, error) {
	if in.MetricAttributionARN == "" {
		return nil, errNoAttribution()
	}
	if err := distinctMetrics(in.AddMetrics); err != nil {
		return nil, err
	}
	if err := checkReports(in.MetricsOutputConfig); err != nil {
		return nil, err
	}
	err := s.update(ctx, func(tx *meta.Tx) error {
		r, err := lookup(tx, scopeOf(ctx), meta.MetricAttribution, in.MetricAttributionARN)
		if err != nil {
			return err
		}
		metrics, err := metricsOf(r)
		if err != nil {
			return err
		}
		if metrics, err = changeMetrics(metrics, in); err != nil {
			return err
		}
		if err := updatable(r, meta.Active); err != nil {
			return err
		}
		data, err := dataOf(tx, r.Group)
		if err != nil {
			return err
		}
		if err := checkMetrics(in.AddMetrics, data); err != nil {
			return err
		}
		return putMetrics(tx, r, metrics, in.MetricsOutputConfig)
	})
	if err != nil {
		return nil, err
	}
	return &api.UpdateMetricAttributionResponse{MetricAttributionARN: in.MetricAttributionARN}, nil
}

func changeMetrics(metrics []api.MetricAttribute, in *api.UpdateMetricAttributionRequest) ([]api.MetricAttribute, error) {
	for _, name := range in.RemoveMetrics {
		i := named(metrics, name)
		if i < 0 {
			return nil, api.Errorf(api.ResourceNotFound, "Metric %s does not exist in %s.", name, in.MetricAttributionARN)
		}
		metrics = slices.Delete(metrics, i, i+1)
	}
	for _, m := range in.AddMetrics {
		if named(metrics, m.MetricName) >= 0 {
			return nil, api.Errorf(api.ResourceAlreadyExists, "Metric %s already exists in %s.", m.MetricName, in.MetricAttributionARN)
		}
		metrics = append(metrics, m)
	}
	if len(metrics) > maxMetrics {
		return nil, api.Errorf(api.InvalidInput, "A metric attribution cannot have more than %d metrics.", maxMetrics)
	}
	return metrics, nil
}

func putMetrics(tx *meta.Tx, r *meta.Resource, metrics []api.MetricAttribute, output *api.MetricAttributionOutput) error {
	if err := r.SetPrivate(meta.AttributionPrivate{Metrics: storedMetrics(metrics)}); err != nil {
		return err
	}
	if output != nil {
		doc, err := meta.Doc[api.MetricAttribution](r)
		if err != nil {
			return err
		}
		doc.MetricsOutputConfig = output
		if err := r.SetDoc(doc); err != nil {
			return err
		}
	}
	return tx.Put(r)
}

// DeleteMetricAttribution ends the reports; what was published stays.
func (s *Service) DeleteMetricAttribution(ctx context.Context, in *api.DeleteMetricAttributionRequest) (*api.DeleteMetricAttributionResponse, error) {
	if err := s.remove(ctx, meta.MetricAttribution, in.MetricAttributionARN, nil); err != nil {
		return nil, err
	}
	return &api.DeleteMetricAttributionResponse{}, nil
}
