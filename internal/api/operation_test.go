package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/api/apitest"
)

// keep answers nothing and keeps the request that the operation saw.
func keep(in *any) apitest.Func {
	return func(_ context.Context, _ string, request, _ any) error {
		*in = request
		return nil
	}
}

func operation(t testing.TB, name string, f apitest.Func) api.Operation {
	t.Helper()
	for _, o := range apitest.Operations(f) {
		if o.Name == name {
			return o
		}
	}
	t.Fatalf("no operation %s", name)
	return api.Operation{}
}

// TestEveryOperationIsBoundOnce also proves that every pattern compiles and every request fits its Go type: binding links them.
func TestEveryOperationIsBoundOnce(t *testing.T) {
	f := apitest.Func(func(context.Context, string, any, any) error { return nil })
	tables := map[string][]api.Operation{
		"personalize":         api.PersonalizeOperations(f),
		"personalize-runtime": api.PersonalizeRuntimeOperations(f),
		"personalize-events":  api.PersonalizeEventsOperations(f),
	}
	total := 0
	for service, want := range api.ModelOperations(t) {
		total += len(want)
		for _, o := range tables[service] {
			m, ok := want[o.Name]
			if !ok {
				t.Errorf("%s.%s is bound twice or is not in the model", service, o.Name)
			}
			delete(want, o.Name)
			target := ""
			if service == "personalize" {
				target = "AmazonPersonalize." + o.Name
			}
			if o.Method != "POST" || o.Path != m.Path || o.Target != target || o.Empty != m.Empty {
				t.Errorf("%s is bound as %s %s %q, empty %v", o.Name, o.Method, o.Path, o.Target, o.Empty)
			}
		}
		if len(want) > 0 {
			t.Errorf("%s: not bound: %v", service, want)
		}
	}
	if total != 79 {
		t.Errorf("the models have %d operations, want 79", total)
	}
}

func TestEveryMemberOfEveryRequestArrives(t *testing.T) {
	var got any
	for _, o := range apitest.Operations(keep(&got)) {
		want := apitest.Request(o.Name)
		if _, err := o.Call(context.Background(), body(t, o.Name)); err != nil {
			t.Errorf("%s: %v", o.Name, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-sent +arrived):\n%s", o.Name, diff)
		}
	}
}

// body is a request of the operation with every member in it.
func body(t *testing.T, operation string) []byte {
	t.Helper()
	text, err := api.Marshal(apitest.Request(operation))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestCallGivesTheOperationTheDecodedRequest(t *testing.T) {
	var in any
	o := operation(t, "PutEvents", keep(&in))
	_, err := o.Call(context.Background(), []byte(`{"trackingId":"t","sessionId":"s","userId":null,"unknown":{"a":[1]},
		"eventList":[{"eventType":"w\u00e4\ud83d\ude00","sentAt":1542392161.2625,"eventValue":0,"properties":"{\"a\":1}","impression":["i","j"]},
			{"eventType":"x","sentAt":"2018-11-16T18:16:01.262Z","metricAttribution":{"eventAttributionSource":"m"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	want := &api.PutEventsRequest{TrackingID: "t", SessionID: "s", EventList: []api.Event{
		{EventType: "wä😀", SentAt: api.Time{Time: apitest.FixedTime.Add(1e6)}, EventValue: new(0.0), Properties: `{"a":1}`, Impression: []string{"i", "j"}},
		{EventType: "x", SentAt: apitest.FixedTime, MetricAttribution: &api.EventMetricAttribution{EventAttributionSource: "m"}},
	}}
	if diff := cmp.Diff(want, in); diff != "" {
		t.Error(diff)
	}
}

// nameOf63 is the longest legal name.
var nameOf63 = strings.Repeat("n", 63)

func TestBreachesAreNamedAllAtOnceInAWSWords(t *testing.T) {
	long := strings.Repeat("n", 64)
	const arn = "arn:aws:personalize:us-east-1:000000000000:dataset-group/g"
	const role = "arn:aws:iam::000000000000:role/r"
	for _, c := range []struct{ operation, body, want string }{
		{"CreateDatasetGroup", `{}`, "1 validation error detected: Value null at 'name' failed to satisfy constraint: Member must not be null"},
		{"CreateDatasetGroup", `{"name":null}`, "1 validation error detected: Value null at 'name' failed to satisfy constraint: Member must not be null"},
		{"CreateDatasetGroup", `{"Name":"n"}`, "1 validation error detected: Value null at 'name' failed to satisfy constraint: Member must not be null"},
		{"CreateDatasetGroup", `{"name":"` + nameOf63 + `"}`, ""},
		{"CreateDatasetGroup", `{"name":"` + long + `"}`, "1 validation error detected: Value '" + long + "' at 'name' failed to satisfy constraint: Member must have length less than or equal to 63"},
		{"CreateDatasetGroup", `{"name":"a b","domain":"X","roleArn":"r"}`, "3 validation errors detected: " +
			"Value 'a b' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9][a-zA-Z0-9\\-_]*; " +
			"Value 'r' at 'roleArn' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:([a-z\\d-]+):iam::\\d{12}:role/?[a-zA-Z_0-9+=,.@\\-_/]+; " +
			"Value 'X' at 'domain' failed to satisfy constraint: Member must satisfy enum value set: [ECOMMERCE, VIDEO_ON_DEMAND]"},
		{"CreateDatasetGroup", `{"name":"a\n"}`, "1 validation error detected: Value 'a\n' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9][a-zA-Z0-9\\-_]*"},
		{"CreateDatasetGroup", `{"name":""}`, "2 validation errors detected: Value '' at 'name' failed to satisfy constraint: Member must have length greater than or equal to 1; Value '' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9][a-zA-Z0-9\\-_]*"},
		{"CreateDatasetGroup", `{"name":5,"tags":{}}`, "2 validation errors detected: Value at 'name' failed to satisfy constraint: Member must have type string; Value at 'tags' failed to satisfy constraint: Member must have type list"},
		{"CreateDatasetGroup", `{"name":"n","tags":[{"tagKey":"k"},null,{"tagKey":"a!b","tagValue":""}]}`, "3 validation errors detected: " +
			"Value null at 'tags.1.member.tagValue' failed to satisfy constraint: Member must not be null; " +
			"Value null at 'tags.2.member' failed to satisfy constraint: Member must not be null; " +
			"Value at 'tags.3.member.tagKey' failed to satisfy constraint: Member must satisfy regular expression pattern: ^([\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*)$"},
		{"ListDatasets", `{"maxResults":0,"nextToken":"ä"}`, "2 validation errors detected: Value 'ä' at 'nextToken' failed to satisfy constraint: Member must satisfy regular expression pattern: \\p{ASCII}{0,1500}; " +
			"Value '0' at 'maxResults' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		{"ListDatasets", `{"maxResults":1.5}`, "1 validation error detected: Value at 'maxResults' failed to satisfy constraint: Member must have type integer"},
		{"ListDatasets", `{"maxResults":101}`, "1 validation error detected: Value '101' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 100"},
		{"CreateDataDeletionJob", `{"jobName":"j","datasetGroupArn":"` + arn + `","dataSource":{"dataLocation":"file:///x"},"roleArn":"` + role + `"}`,
			"1 validation error detected: Value 'file:///x' at 'dataSource.dataLocation' failed to satisfy constraint: Member must satisfy regular expression pattern: (s3|http|https)://.+"},
		{"PutUsers", `{"datasetArn":"` + arn + `","users":[{"userId":"` + strings.Repeat("u", 257) + `"}]}`,
			"1 validation error detected: Value at 'users.1.member.userId' failed to satisfy constraint: Member must have length less than or equal to 256"},
		{"PutEvents", `{"trackingId":"t","sessionId":"s","userId":"","eventList":[]}`, "2 validation errors detected: " +
			"Value at 'userId' failed to satisfy constraint: Member must have length greater than or equal to 1; " +
			"Value at 'eventList' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"PutEvents", `{"trackingId":"t","sessionId":"s","eventList":[{"eventType":"e","sentAt":"soon","properties":{}}]}`, "2 validation errors detected: " +
			"Value at 'eventList.1.member.properties' failed to satisfy constraint: Member must have type string; " +
			"Value at 'eventList.1.member.sentAt' failed to satisfy constraint: Member must have type timestamp"},
		{"GetRecommendations", `{"userId":"` + strings.Repeat("u", 257) + `","context":{"a b":"` + strings.Repeat("v", 1001) + `","c":1,"d":null}}`, "3 validation errors detected: " +
			"Value at 'userId' failed to satisfy constraint: Member must have length less than or equal to 256; " +
			"Value at 'context' failed to satisfy constraint: Map keys must satisfy constraint: [Member must satisfy regular expression pattern: [A-Za-z\\d_]+]; " +
			"Value at 'context' failed to satisfy constraint: Map value must satisfy constraint: [Member must have length less than or equal to 1000, Member must have type string, Member must not be null]"},
	} {
		o := operation(t, c.operation, func(context.Context, string, any, any) error { return nil })
		_, err := o.Call(context.Background(), []byte(c.body))
		got := ""
		if e := (*api.Error)(nil); errors.As(err, &e) {
			if e.Code != api.InvalidInput {
				t.Errorf("%s %s: code %s", c.operation, c.body, e.Code)
			}
			got = e.Message
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s %s:\n%s", c.operation, c.body, diff)
		}
	}
}

func TestLengthsCountCharacters(t *testing.T) {
	o := operation(t, "GetRecommendations", func(context.Context, string, any, any) error { return nil })
	if _, err := o.Call(context.Background(), []byte(`{"userId":"`+strings.Repeat("😀", 256)+`"}`)); err != nil {
		t.Error(err)
	}
}

func TestMessagesAreBounded(t *testing.T) {
	o := operation(t, "UntagResource", func(context.Context, string, any, any) error { return nil })
	body := `{"resourceArn":"` + strings.Repeat("x", 1<<16) + `","tagKeys":[` + strings.Repeat(`"",`, 9999) + `""]}`
	_, err := o.Call(context.Background(), []byte(body))
	if n := len(err.Error()); n > 10000 || !strings.Contains(err.Error(), "10003 validation errors detected: ") {
		t.Errorf("%d bytes: %.200s", n, err)
	}
}

func TestWhatIsNotAJSONObjectIsASerializationException(t *testing.T) {
	o := operation(t, "ListSchemas", func(context.Context, string, any, any) error { return nil })
	for _, body := range []string{`[]`, `"x"`, `null`, `{`, `{"a":1`, `{"a":1,}`, `{"a":1}{}`, `{"a":1,"a":2}`, `{"a":"\ud800"}`, `{"a":"\udc00\ud800"}`, "{\"a\":\"\xff\"}", "{\"\xff\":1}",
		"{\"a\":\"\n\"}", `{"a":01}`, `{"a":1.}`, `{"a":+1}`, `{"a":"\x"}`, `{'a':1}`, `{"a":nul}`, strings.Repeat(`{"a":`, 33) + "1" + strings.Repeat("}", 33)} {
		_, err := o.Call(context.Background(), []byte(body))
		if e := (*api.Error)(nil); !errors.As(err, &e) || e.Code != api.Serialization {
			t.Errorf("%s: %v", body, err)
		}
	}
	for _, body := range []string{"", " \n", "{}", ` { "a" : [ ] } `} {
		if _, err := o.Call(context.Background(), []byte(body)); err != nil {
			t.Errorf("%q: %v", body, err)
		}
	}
}

func TestErrorsAndFaultsOfTheOperationComeOutAsTheyAre(t *testing.T) {
	fault := fmt.Errorf("disk")
	o := operation(t, "ListSchemas", func(context.Context, string, any, any) error { return fault })
	if _, err := o.Call(context.Background(), nil); !errors.Is(err, fault) {
		t.Errorf("%v", err)
	}
}

func TestEmptyListsOfResponsesArePresent(t *testing.T) {
	nothing := apitest.Func(func(context.Context, string, any, any) error { return nil })
	for name, want := range map[string]string{"ListFilters": `{"Filters":[]}`, "GetRecommendations": `{"itemList":[]}`, "TagResource": `{}`} {
		out, err := operation(t, name, nothing).Call(context.Background(), body(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if text, err := api.Marshal(out); err != nil || string(text) != want {
			t.Errorf("%s answers %s, %v; want %s", name, text, err, want)
		}
	}
}

func TestATagKeepsItsEmptyValue(t *testing.T) {
	text, err := api.Marshal(api.ListTagsForResourceResponse{Tags: []api.Tag{{TagKey: "k"}}})
	if want := `{"tags":[{"tagKey":"k","tagValue":""}]}`; err != nil || string(text) != want {
		t.Errorf("%s, %v; want %s", text, err, want)
	}
}

func TestMarshalKeepsModelOrderAndEscapesNothing(t *testing.T) {
	text, err := api.Marshal(api.DescribeFilterResponse{Filter: &api.Filter{FilterExpression: "a < b & c > d", Name: "n", CreationDateTime: apitest.FixedTime}})
	if want := `{"filter":{"name":"n","creationDateTime":1542392161.262,"filterExpression":"a < b & c > d"}}`; err != nil || string(text) != want {
		t.Errorf("%s, %v; want %s", text, err, want)
	}
}

func TestTimeReadsBackAsWritten(t *testing.T) {
	for _, text := range []string{"1542392161.262", "0.001", "-0.001", "-5.500", "253402300799.000"} {
		var v api.Time
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		if got, err := json.Marshal(v); err != nil || string(got) != text {
			t.Errorf("%s came back as %s, %v", text, got, err)
		}
	}
	for _, text := range []string{`1e300`, `"yesterday"`, `true`, `-1e12`} {
		if err := json.Unmarshal([]byte(text), new(api.Time)); err == nil {
			t.Errorf("%s is taken as a timestamp", text)
		}
	}
}
