//lint:file-ignore SA1019 version 1 of the SDK is what customers still run, and the only Go client of all three services: it is tested because it is old.

package sdk_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/personalize"
	"github.com/aws/aws-sdk-go/service/personalizeevents"
	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/test/sdk"
	"github.com/palate-dev/palate/test/server"
)

const watched = `{"type":"record","name":"Interactions","namespace":"com.amazonaws.personalize.schema","version":"1.0","fields":[{"name":"USER_ID","type":"string"},
	{"name":"ITEM_ID","type":"string"},{"name":"TIMESTAMP","type":"long"},{"name":"EVENT_TYPE","type":"string"},{"name":"EVENT_VALUE","type":["float","null"]}]}`

// made reads the ARN of what was created and waits until it is ACTIVE.
func made(t *testing.T, arn *string, err error, status func(arn *string) (*string, error)) *string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-time.After(5 * time.Millisecond) {
		s, err := status(arn)
		if err != nil {
			t.Fatal(err)
		}
		if aws.StringValue(s) == "ACTIVE" {
			return arn
		}
	}
	t.Fatalf("%s was not ACTIVE within a minute", *arn)
	return nil
}

func TestAnSDKClientDefinesMetricsAndSendsWhatTheyCount(t *testing.T) {
	s := server.Start(t)
	c, err := sdk.New(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	p := c.Personalize
	group, err := p.CreateDatasetGroup(&personalize.CreateDatasetGroupInput{Name: aws.String("g")})
	made(t, group.DatasetGroupArn, err, func(arn *string) (*string, error) {
		d, err := p.DescribeDatasetGroup(&personalize.DescribeDatasetGroupInput{DatasetGroupArn: arn})
		return d.DatasetGroup.Status, err
	})
	schema, err := p.CreateSchema(&personalize.CreateSchemaInput{Name: aws.String("s"), Schema: aws.String(watched)})
	if err != nil {
		t.Fatal(err)
	}
	interactions, err := p.CreateDataset(&personalize.CreateDatasetInput{Name: aws.String("i"), DatasetType: aws.String("Interactions"), SchemaArn: schema.SchemaArn, DatasetGroupArn: group.DatasetGroupArn})
	made(t, interactions.DatasetArn, err, func(arn *string) (*string, error) {
		d, err := p.DescribeDataset(&personalize.DescribeDatasetInput{DatasetArn: arn})
		return d.Dataset.Status, err
	})
	tracker, err := p.CreateEventTracker(&personalize.CreateEventTrackerInput{Name: aws.String("t"), DatasetGroupArn: group.DatasetGroupArn})
	made(t, tracker.EventTrackerArn, err, func(arn *string) (*string, error) {
		d, err := p.DescribeEventTracker(&personalize.DescribeEventTrackerInput{EventTrackerArn: arn})
		return d.EventTracker.Status, err
	})
	metric := func(name, expression string) *personalize.MetricAttribute {
		return &personalize.MetricAttribute{EventType: aws.String("watch"), MetricName: aws.String(name), Expression: aws.String(expression)}
	}
	attribution, err := p.CreateMetricAttribution(&personalize.CreateMetricAttributionInput{Name: aws.String("m"), DatasetGroupArn: group.DatasetGroupArn,
		Metrics:             []*personalize.MetricAttribute{metric("watches", "SAMPLECOUNT()"), metric("gone", "SAMPLECOUNT()")},
		MetricsOutputConfig: &personalize.MetricAttributionOutput_{RoleArn: aws.String("arn:aws:iam::000000000000:role/r")}})
	made(t, attribution.MetricAttributionArn, err, func(arn *string) (*string, error) {
		d, err := p.DescribeMetricAttribution(&personalize.DescribeMetricAttributionInput{MetricAttributionArn: arn})
		return d.MetricAttribution.Status, err
	})
	if _, err := p.UpdateMetricAttribution(&personalize.UpdateMetricAttributionInput{MetricAttributionArn: attribution.MetricAttributionArn,
		AddMetrics: []*personalize.MetricAttribute{metric("value", "SUM(Interactions.EVENT_VALUE)")}, RemoveMetrics: aws.StringSlice([]string{"gone"})}); err != nil {
		t.Fatal(err)
	}
	var names []string
	err = p.ListMetricAttributionMetricsPages(&personalize.ListMetricAttributionMetricsInput{MetricAttributionArn: attribution.MetricAttributionArn, MaxResults: aws.Int64(1)},
		func(page *personalize.ListMetricAttributionMetricsOutput, _ bool) bool {
			for _, m := range page.Metrics {
				names = append(names, *m.MetricName)
			}
			return true
		})
	if diff := cmp.Diff([]string{"watches", "value"}, names); diff != "" || err != nil {
		t.Fatal(diff, err)
	}

	at := time.Now().Truncate(15 * time.Minute)
	event := func(value float64, source string) *personalizeevents.Event {
		e := &personalizeevents.Event{EventType: aws.String("watch"), ItemId: aws.String("i"), SentAt: aws.Time(at), EventValue: aws.Float64(value)}
		if source != "" {
			e.MetricAttribution = &personalizeevents.MetricAttribution{EventAttributionSource: aws.String(source)}
		}
		return e
	}
	if _, err := c.Events.PutEvents(&personalizeevents.PutEventsInput{TrackingId: tracker.TrackingId, SessionId: aws.String("s"), UserId: aws.String("u"),
		EventList: []*personalizeevents.Event{event(1.5, "mail"), event(2, "mail"), event(-1, "")}}); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(s.URL + "/metrics?metricAttributionArn=" + url.QueryEscape(*attribution.MetricAttributionArn))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`METRIC_NAME,EVENT_TYPE,VALUE,MATH_FUNCTION,EVENT_ATTRIBUTION_SOURCE,TIMESTAMP
WATCHES,WATCH,1.0,samplecount,SOURCE_NAME_UNDEFINED,%[1]d
WATCHES,WATCH,2.0,samplecount,mail,%[1]d
VALUE,WATCH,-1.0,sum,SOURCE_NAME_UNDEFINED,%[1]d
VALUE,WATCH,3.5,sum,mail,%[1]d
`, at.Unix())
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Error(diff)
	}
}
