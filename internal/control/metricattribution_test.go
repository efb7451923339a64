package control_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/quota"
)

func metric(name, expression string) api.MetricAttribute {
	return api.MetricAttribute{EventType: "watch", MetricName: name, Expression: expression}
}

func attributionRequest(name string, metrics ...api.MetricAttribute) *api.CreateMetricAttributionRequest {
	return &api.CreateMetricAttributionRequest{
		Name: name, DatasetGroupARN: inRegion + "dataset-group/g", Metrics: metrics,
		MetricsOutputConfig: &api.MetricAttributionOutput{RoleARN: someRole, S3DataDestination: &api.S3DataConfig{Path: "s3://reports/daily/"}},
	}
}

func TestMetricExpressionsAreChecked(t *testing.T) {
	s := open(t, quota.AWS())
	for expression, ok := range map[string]bool{
		"SAMPLECOUNT()": true, "samplecount( )": true, "SUM(Items.PRICE)": true, "SUM(ITEMS.price)": true, "sum( Interactions.EVENT_VALUE )": true,
		"SUM(Items.AGE)": true,
		"":               false, "COUNT()": false, "SAMPLECOUNT": false, "SUM()": false, "SUM(Items.GENRES)": false, "SUM(Items.COLOR)": false,
		"SUM(Users.AGE)": false, "SUM(PRICE)": false, "SUM(Items.PRICE) + 1": false, "SUM(Interactions.TIMESTAMP": false,
	} {
		out, err := s.CreateMetricAttribution(s.ctx, attributionRequest("m", metric("x", expression)))
		if !ok {
			want(t, expression, err, api.InvalidInput, "")
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		s.settle()
		_, err = s.DeleteMetricAttribution(s.ctx, &api.DeleteMetricAttributionRequest{MetricAttributionARN: out.MetricAttributionARN})
		s.must(err)
		s.settle()
	}
}

func TestAGroupHasOneMetricAttribution(t *testing.T) {
	s := open(t, quota.AWS())
	_, err := s.CreateMetricAttribution(s.ctx, attributionRequest("m", metric("x", "SAMPLECOUNT()"), metric("x", "SAMPLECOUNT()")))
	want(t, "metric name twice", err, api.InvalidInput, "more than once")
	_, err = s.CreateMetricAttribution(s.ctx, attributionRequest("m", metric("x", "SAMPLECOUNT()")))
	s.must(err)
	_, err = s.CreateMetricAttribution(s.ctx, attributionRequest("m", metric("x", "SAMPLECOUNT()")))
	want(t, "same name", err, api.ResourceAlreadyExists, "")
	_, err = s.CreateMetricAttribution(s.ctx, attributionRequest("n", metric("x", "SAMPLECOUNT()")))
	want(t, "another name", err, api.ResourceAlreadyExists, "already has")
	_, err = s.TagResource(s.ctx, &api.TagResourceRequest{ResourceARN: inRegion + "metric-attribution/m", Tags: []api.Tag{{TagKey: "a"}}})
	want(t, "tags", err, api.InvalidInput, "")
}

func TestAnImportTakesTheMetricAttributionOfItsCreation(t *testing.T) {
	s := open(t, quota.AWS())
	measured := func(name, more string) *meta.ImportAttribution {
		t.Helper()
		s.ok("CreateDatasetImportJob", importBody(name, "INTERACTIONS", more))
		s.settle()
		p, err := meta.Private[meta.ImportPrivate](s.row(inRegion + "dataset-import-job/" + name))
		s.must(err)
		return p.Attribution
	}
	const publish, incremental = `,"publishAttributionMetricsToS3":true`, `,"importMode":"INCREMENTAL"`
	if a := measured("before", ""); a != nil {
		t.Errorf("without a metric attribution: %+v", a)
	}
	if a := measured("before-too", incremental); a != nil {
		t.Errorf("without a metric attribution: %+v", a)
	}
	out, err := s.CreateMetricAttribution(s.ctx, attributionRequest("m", metric("a", "SAMPLECOUNT()")))
	s.must(err)
	s.exchanges(exchange{"CreateDatasetImportJob", importBody("x", "INTERACTIONS", publish), api.InvalidInput, "ACTIVE"})
	s.settle()
	if a := measured("full", ""); a != nil {
		t.Errorf("a full import that is not reported: %+v", a)
	}
	want := &meta.ImportAttribution{ID: s.row(out.MetricAttributionARN).Seq, Metrics: []meta.AttributionMetric{{EventType: "watch", MetricName: "a", Expression: "SAMPLECOUNT()"}}}
	if diff := cmp.Diff(want, measured("incremental", incremental)); diff != "" {
		t.Error(diff)
	}
	want.Path = "s3://reports/daily/"
	if diff := cmp.Diff(want, measured("reported", publish)); diff != "" {
		t.Error(diff)
	}
	_, err = s.UpdateMetricAttribution(s.ctx, &api.UpdateMetricAttributionRequest{MetricAttributionARN: out.MetricAttributionARN, MetricsOutputConfig: &api.MetricAttributionOutput{RoleARN: someRole}})
	s.must(err)
	s.exchanges(exchange{"CreateDatasetImportJob", importBody("x", "INTERACTIONS", publish), api.InvalidInput, "destination"})
	bad := attributionRequest("n", metric("a", "SAMPLECOUNT()"))
	bad.MetricsOutputConfig.S3DataDestination.Path = "reports"
	_, err = s.CreateMetricAttribution(s.ctx, bad)
	if e := (*api.Error)(nil); !errors.As(err, &e) || e.Code != api.InvalidInput {
		t.Errorf("a destination that is none: %v", err)
	}
}

func TestAMetricAttributionNeedsEventTypes(t *testing.T) {
	s := newStudio(t, quota.AWS())
	s.group("g", "")
	_, err := s.CreateMetricAttribution(s.ctx, attributionRequest("m"))
	want(t, "no interactions", err, api.InvalidInput, "EVENT_TYPE")
	s.dataset("g", "Interactions", "", watched)
	_, err = s.CreateMetricAttribution(s.ctx, attributionRequest("m"))
	want(t, "no event types", err, api.InvalidInput, "EVENT_TYPE")
}

func TestUpdateMetricAttributionRemovesThenAdds(t *testing.T) {
	s := open(t, quota.AWS())
	out, err := s.CreateMetricAttribution(s.ctx, attributionRequest("m", metric("a", "SAMPLECOUNT()"), metric("b", "SUM(Items.PRICE)")))
	s.must(err)
	arn := out.MetricAttributionARN
	type request = api.UpdateMetricAttributionRequest
	update := func(what string, in request, code api.Code, part string) {
		t.Helper()
		_, err := s.UpdateMetricAttribution(s.ctx, &in)
		want(t, what, err, code, part)
	}
	one := []api.MetricAttribute{metric("c", "SAMPLECOUNT()")}
	update("pending", request{MetricAttributionARN: arn, AddMetrics: one}, api.ResourceInUse, "CREATE PENDING")
	s.settle()
	update("no ARN", request{AddMetrics: one}, api.InvalidInput, "metricAttributionArn")
	update("unknown", request{MetricAttributionARN: arn + "x", AddMetrics: one}, api.ResourceNotFound, "")
	update("remove unknown", request{MetricAttributionARN: arn, RemoveMetrics: []string{"z"}}, api.ResourceNotFound, "Metric z")
	update("add existing", request{MetricAttributionARN: arn, AddMetrics: []api.MetricAttribute{metric("a", "SAMPLECOUNT()")}}, api.ResourceAlreadyExists, "Metric a")
	update("add twice", request{MetricAttributionARN: arn, AddMetrics: append(one, one...)}, api.InvalidInput, "more than once")
	update("bad expression", request{MetricAttributionARN: arn, AddMetrics: []api.MetricAttribute{metric("c", "SUM(Items.GENRES)")}}, api.InvalidInput, "numeric")
	var many []api.MetricAttribute
	for i := range 9 {
		many = append(many, metric(fmt.Sprint("m", i), "SAMPLECOUNT()"))
	}
	update("too many", request{MetricAttributionARN: arn, AddMetrics: many}, api.InvalidInput, "more than 10")
	update("replace", request{
		MetricAttributionARN: arn, RemoveMetrics: []string{"a"}, AddMetrics: []api.MetricAttribute{metric("a", "SUM(Items.AGE)")},
		MetricsOutputConfig: &api.MetricAttributionOutput{RoleARN: someRole},
	}, "", "")
	list, err := s.ListMetricAttributionMetrics(s.ctx, &api.ListMetricAttributionMetricsRequest{MetricAttributionARN: arn})
	s.must(err)
	if diff := cmp.Diff([]api.MetricAttribute{metric("b", "SUM(Items.PRICE)"), metric("a", "SUM(Items.AGE)")}, list.Metrics); diff != "" {
		t.Error(diff)
	}
	described, err := s.DescribeMetricAttribution(s.ctx, &api.DescribeMetricAttributionRequest{MetricAttributionARN: arn})
	s.must(err)
	if m := described.MetricAttribution; m.Status != meta.Active || m.MetricsOutputConfig.S3DataDestination != nil || m.MetricsOutputConfig.RoleARN != someRole {
		t.Errorf("attribution %+v", m)
	}
}

func TestListMetricAttributionMetricsPages(t *testing.T) {
	s := open(t, quota.AWS())
	out, err := s.CreateMetricAttribution(s.ctx, attributionRequest("m", metric("a", "SAMPLECOUNT()"), metric("b", "SAMPLECOUNT()"), metric("c", "SAMPLECOUNT()")))
	s.must(err)
	in := &api.ListMetricAttributionMetricsRequest{MetricAttributionARN: out.MetricAttributionARN, MaxResults: new(2)}
	first, err := s.ListMetricAttributionMetrics(s.ctx, in)
	s.must(err)
	in.NextToken = first.NextToken
	second, err := s.ListMetricAttributionMetrics(s.ctx, in)
	s.must(err)
	if len(first.Metrics) != 2 || len(second.Metrics) != 1 || second.Metrics[0].MetricName != "c" || second.NextToken != "" {
		t.Errorf("pages %+v, %+v", first, second)
	}
	_, err = s.ListMetricAttributionMetrics(s.ctx, &api.ListMetricAttributionMetricsRequest{})
	want(t, "no ARN", err, api.InvalidInput, "")
	_, err = s.ListMetricAttributionMetrics(s.ctx, &api.ListMetricAttributionMetricsRequest{MetricAttributionARN: in.MetricAttributionARN + "x"})
	want(t, "unknown", err, api.InvalidInput, "does not exist")
	list, err := s.ListMetricAttributions(s.ctx, &api.ListMetricAttributionsRequest{DatasetGroupARN: inRegion + "dataset-group/g"})
	s.must(err)
	if len(list.MetricAttributions) != 1 || list.MetricAttributions[0].Name != "m" {
		t.Errorf("list %+v", list.MetricAttributions)
	}
}
