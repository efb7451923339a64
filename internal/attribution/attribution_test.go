package attribution_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/attribution"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/schema"
)

var (
	interactions = &schema.Schema{Type: schema.Interactions, Fields: []schema.Field{{Name: "USER_ID"}, {Name: "EVENT_VALUE", Kind: schema.Float, Nullable: true}, {Name: "QTY", Kind: schema.Int}}}
	items        = &schema.Schema{Type: schema.Items, Fields: []schema.Field{{Name: "ITEM_ID"}, {Name: "NUM_SOLD", Kind: schema.Double}}}
)

func TestExpressions(t *testing.T) {
	for text, want := range map[string]string{
		"SAMPLECOUNT()": ".", " samplecount ( ) ": ".", "SUM(Items.PRICE)": "ITEMS.PRICE", "sum( interactions . EVENT_VALUE )": "INTERACTIONS.EVENT_VALUE", "SUM(Users.AGE)": "USERS.AGE",
		"": "no", "SUM()": "no", "COUNT()": "no", "SUM(PRICE)": "no", "SUM(Items.PRICE) + 1": "no", "SUM(Items.PRICE": "no", "SUM(Items.1)": "no", "SAMPLECOUNT": "no", "AVG(Items.PRICE)": "no",
	} {
		got := "no"
		if e, ok := attribution.Parse(text); ok {
			got = string(e.Of) + "." + e.Column
		}
		if got != want {
			t.Errorf("%q is read as %s, want %s", text, got, want)
		}
	}
}

func metrics() *attribution.Metrics {
	return attribution.Compile(7, []meta.AttributionMetric{
		{EventType: "watch", MetricName: "countWatches", Expression: "SAMPLECOUNT()"},
		{EventType: "Buy", MetricName: "earned, gross", Expression: "SUM(Interactions.EVENT_VALUE)"},
		{EventType: "buy", MetricName: "pieces", Expression: "SUM(interactions.qty)"},
		{EventType: "buy", MetricName: "sold", Expression: "SUM(ITEMS.NUMSOLD)"},
	}, interactions, items)
}

func number(x float64) schema.Value { return schema.Value{Valid: true, Float: x} }

// report adds one event after another: type, source, time, EVENT_VALUE.
func report(t *testing.T, r *attribution.Report, kind, source string, at int64, value schema.Value, item []schema.Value) {
	t.Helper()
	e := attribution.Event{Type: kind, Source: source, Time: at, Values: []schema.Value{{Valid: true, Str: "u"}, value, {Valid: true, Int: 2}}}
	if err := r.Add(e, func() ([]schema.Value, error) { return item, nil }); err != nil {
		t.Fatal(err)
	}
}

func TestAReportHasTheColumnsAndTheOrderOfTheSpecification(t *testing.T) {
	r := attribution.NewReport(metrics(), time.Unix(0, 0), func(string) bool { return true })
	known := []schema.Value{{Valid: true, Str: "i"}, number(0.5)}
	report(t, r, "WATCH", "arn:aws:personalize:us-west-2:111122223333:recommender/r1", 1_800_000_899, schema.Value{}, nil)
	report(t, r, "watch", "arn:aws:personalize:us-west-2:111122223333:recommender/r1", 1_800_000_000, schema.Value{}, nil)
	report(t, r, "watch", "", 1_800_000_900, schema.Value{}, nil)
	report(t, r, "buy", `a "b", c`, 1_800_000_900, number(1.25), known)
	report(t, r, "buy", `a "b", c`, 1_800_000_901, schema.Value{}, nil) // nulls and unknown items add nothing
	report(t, r, "buy", "nan", -1, number(math.NaN()), known)
	report(t, r, "click", "x", 0, number(9), known) // no metric's
	var b strings.Builder
	if err := r.WriteCSV(&b); err != nil {
		t.Fatal(err)
	}
	want := `METRIC_NAME,EVENT_TYPE,VALUE,MATH_FUNCTION,EVENT_ATTRIBUTION_SOURCE,TIMESTAMP
COUNTWATCHES,WATCH,1.0,samplecount,SOURCE_NAME_UNDEFINED,1800000900
"EARNED, GROSS",BUY,1.25,sum,"a \"b\", c",1800000900
PIECES,BUY,4.0,sum,"a \"b\", c",1800000900
SOLD,BUY,0.5,sum,"a \"b\", c",1800000900
COUNTWATCHES,WATCH,2.0,samplecount,arn:aws:personalize:us-west-2:111122223333:recommender/r1,1800000000
"EARNED, GROSS",BUY,0.0,sum,nan,-900
PIECES,BUY,2.0,sum,nan,-900
SOLD,BUY,0.5,sum,nan,-900
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestOnlyRecentEventsCountForMetrics(t *testing.T) {
	now := time.Unix(1_800_000_450, 0)
	m := metrics()
	count := func(ago time.Duration) int {
		counts, err := m.Count(attribution.Event{Type: "watch", Time: now.Add(-ago).Unix()}, now, nil)
		if err != nil {
			t.Fatal(err)
		}
		return len(counts)
	}
	for ago, want := range map[time.Duration]int{0: 1, 13 * 24 * time.Hour: 1, 15 * 24 * time.Hour: 0, -time.Hour: 1, -3 * time.Hour: 0} {
		if got := count(ago); got != want {
			t.Errorf("an event of %v ago counts %d times", ago, got)
		}
	}
	r := attribution.NewReport(m, now, func(source string) bool { return source != "s1" })
	for i := range 3 {
		report(t, r, "watch", fmt.Sprint("s", i), now.Unix(), schema.Value{}, nil)
	}
	report(t, r, "watch", "s0", 0, schema.Value{}, nil)
	report(t, r, "watch", "", now.Unix(), schema.Value{}, nil)
	if counts, many := r.Counts(); len(counts) != 3 || !many {
		t.Errorf("%v, and some have no room: %v", counts, many)
	}
}

func TestAReportOfFarTooManySourcesIsNotWritten(t *testing.T) {
	now := time.Unix(1_800_000_450, 0)
	m := attribution.Compile(1, []meta.AttributionMetric{{EventType: "watch", MetricName: "n", Expression: "SAMPLECOUNT()"}}, nil, nil)
	admitted := map[string]bool{}
	r := attribution.NewReport(m, now, func(source string) bool {
		if len(admitted) < attribution.MaxSources {
			admitted[source] = true
		}
		return admitted[source]
	})
	r.Limit(200)
	for i := range 201 {
		if err := r.Add(attribution.Event{Type: "watch", Source: fmt.Sprint("order ", i), Time: now.Unix()}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.WriteCSV(io.Discard); !errors.Is(err, attribution.ErrLong) {
		t.Errorf("it is written: %v", err)
	}
	if counts, many := r.Counts(); len(counts) != attribution.MaxSources || !many {
		t.Errorf("%d counts, and some have no room: %v", len(counts), many)
	}
}

func TestTotalsTellSinceTheDefinitionAndTheLastWindow(t *testing.T) {
	now := time.Unix(1_800_000_450, 0)
	counts, err := metrics().Count(attribution.Event{Type: "watch", Source: "mail", Time: now.Unix() - 900}, now, nil)
	if err != nil {
		t.Fatal(err)
	}
	sum := dataset.Sum{Events: 1, Value: 1}
	tally := map[dataset.Series]dataset.Sums{
		counts[0].Series: {Total: dataset.Sum{Events: 5, Value: 5}, Windows: map[int64]dataset.Sum{counts[0].Window: sum, counts[0].Window + 900: sum.Plus(sum)}},
		{Metric: "9"}:    {Total: sum},
	}
	want := []attribution.Total{{Metric: "countWatches", Source: "mail", Sum: dataset.Sum{Events: 5, Value: 5}, Last: sum}}
	if diff := cmp.Diff(want, metrics().Totals(tally, now)); diff != "" {
		t.Error(diff)
	}
	if attribution.Of(counts[0].Series) != 7 || attribution.Of(dataset.Series{Metric: "x"}) != 0 {
		t.Error("a series is not known to belong to its attribution")
	}
	again := attribution.Compile(8, []meta.AttributionMetric{{EventType: "watch", MetricName: "countWatches", Expression: "SAMPLECOUNT()"}}, nil, nil)
	if len(again.Totals(tally, now)) != 0 {
		t.Error("another attribution goes on with the sums of an earlier one")
	}
}

func TestTheSourceThatAnEventSaysWins(t *testing.T) {
	arn := func() string { return "arn:x" }
	for said, want := range map[string]string{"mail": "mail", "": "arn:x", "SOURCE_NAME_UNDEFINED": ""} {
		if got := attribution.SourceOf(said, arn); got != want {
			t.Errorf("%q means %q, want %q", said, got, want)
		}
	}
}
