package api

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// TestSoundRequestsAreThoseInWhichCheckFindsNothing replaces each value of requests of the events API by others and holds the quick check against the one that
// words what is wrong.
func TestSoundRequestsAreThoseInWhichCheckFindsNothing(t *testing.T) {
	requests := map[string]*rule{
		`{"trackingId":"t","userId":"u","sessionId":"s","eventList":[{"eventId":"e","eventType":"view","eventValue":1.5,"itemId":"i","properties":"{}","sentAt":1,
			"recommendationId":"r","impression":["a","b"],"metricAttribution":{"eventAttributionSource":"x"}},{"eventType":"view","sentAt":"2020-01-01T00:00:00Z"}]}`: link(
			personalizeEventsShapes, "PutEventsRequest", reflect.TypeFor[PutEventsRequest]()),
		`{"datasetArn":"arn:aws:personalize:us-east-1:000000000000:dataset/d/ITEMS","items":[{"itemId":"i","properties":"{}"}]}`: link(
			personalizeEventsShapes, "PutItemsRequest", reflect.TypeFor[PutItemsRequest]()),
		`{"campaignArn":"arn:aws:personalize:us-east-1:000000000000:campaign/c","userId":"u","numResults":25,"context":{"A_B":"x"},"filterArn":"arn:aws:personalize:::filter/f",
			"filterValues":{"A":"\"x\""},"promotions":[{"name":"p","percentPromotedItems":50,"filterArn":"arn:aws:personalize:::filter/f","filterValues":{"A":"1"}}],
			"metadataColumns":{"ITEMS":["a"]}}`: link(personalizeRuntimeShapes, "GetRecommendationsRequest", reflect.TypeFor[GetRecommendationsRequest]()),
	}
	others := []any{
		nil, true, 0.0, 1.5, -1.0, 100.0, 101.0, 1e300, "", "x", "é", strings.Repeat("é", 256), strings.Repeat("é", 257), strings.Repeat("x", 1025), "\n", []any{}, []any{nil}, []any{"x"},
		[]any{map[string]any{}}, map[string]any{}, map[string]any{"": "x"}, map[string]any{"-": "x"}, map[string]any{"A": nil}, map[string]any{"A": 1.0}, map[string]any{"A": []any{"x"}},
		map[string]any{strings.Repeat("A", 151): "x"}, "arn:aws:personalize:::", "arn:aws:personalize:::x", "2020-13-01", "2020-12-01",
	}
	sound, wrong := 0, 0
	for text, r := range requests {
		var whole any
		if err := json.Unmarshal([]byte(text), &whole); err != nil {
			t.Fatal(err)
		}
		try := func() {
			body, err := json.Marshal(whole)
			if err != nil {
				t.Fatal(err)
			}
			v, err := parse(body)
			if err != nil {
				t.Fatal(err)
			}
			var b breaches
			r.check(&v, "", false, &b)
			if quick := r.sound(&v); quick != (b.count == 0) {
				t.Errorf("%s: sound says %v, check finds %v", body, quick, b.texts)
			} else if quick {
				sound++
			} else {
				wrong++
			}
		}
		try()
		replaceEach(whole, others, func(v any) { whole = v }, try)
	}
	if sound < 50 || wrong < 100 {
		t.Errorf("only %d sound and %d wrong requests", sound, wrong)
	}
}

// TestARNsAreToldAsThePatternTellsThem holds the matcher against the regular expression on all that a few pieces make.
func TestARNsAreToldAsThePatternTellsThem(t *testing.T) {
	re := compile(shape{pattern: arnPattern})
	pieces := []string{"arn:", "aws", "-a9", "A", ":personalize:", "personalize", ":", "us-east-1", "\n", "é", "\xff", "x/y", ""}
	matching := 0
	var try func(s string, left int)
	try = func(s string, left int) {
		want := re.MatchString(s)
		if likeARN(s) != want {
			t.Errorf("%q: the pattern says %v", s, want)
		}
		if want {
			matching++
		}
		if left > 0 {
			for _, p := range pieces {
				try(s+p, left-1)
			}
		}
	}
	try("", 4)
	try("arn:aws", 3)
	try("arn:aws:personalize:", 4)
	if matching < 1000 {
		t.Errorf("only %d matched", matching)
	}
}

// replaceEach puts each of others in the place of every value of v, calls try, and puts the value back.
func replaceEach(v any, others []any, set func(any), try func()) {
	switch v := v.(type) {
	case map[string]any:
		for name, item := range v {
			replaceEach(item, others, func(x any) { v[name] = x }, try)
		}
	case []any:
		for i, item := range v {
			replaceEach(item, others, func(x any) { v[i] = x }, try)
		}
	}
	for _, o := range others {
		set(o)
		try()
	}
	set(v)
}

func TestAReaderIsUsedAgainWithoutATraceOfTheTextBefore(t *testing.T) {
	r := link(personalizeEventsShapes, "PutEventsRequest", reflect.TypeFor[PutEventsRequest]())
	events := `{"eventType":"view","sentAt":1}` + strings.Repeat(`,{"eventType":"view","itemId":"i","impression":["a","b"],"sentAt":1}`, 9)
	for range 3 {
		var long, short PutEventsRequest
		if err := r.decode([]byte(`{"trackingId":"t","sessionId":"s","eventList":[`+events+`]}`), &long); err != nil {
			t.Fatal(err)
		}
		if err := r.decode([]byte(`{"trackingId":"t2","sessionId":"s2","eventList":[{"eventType":"buy","sentAt":2}]}`), &short); err != nil {
			t.Fatal(err)
		}
		if len(long.EventList) != 10 || long.SessionID != "s" || long.EventList[9].Impression[1] != "b" || long.EventList[0].ItemID != "" {
			t.Errorf("the first request became %+v", long)
		}
		if e := short.EventList[0]; len(short.EventList) != 1 || short.TrackingID != "t2" || e.EventType != "buy" || e.ItemID != "" || e.Impression != nil {
			t.Errorf("the second request became %+v", short)
		}
		if err := r.decode([]byte(`{"trackingId":"t","eventList":[{"a":[{`), &short); err == nil {
			t.Error("half a text is no error")
		}
	}
}
