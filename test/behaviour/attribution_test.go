package behaviour

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/test/shop"
)

// quarter is a window that lies some windows back.
func quarter(back int) int64 { return time.Now().Unix()/900*900 - int64(900*back) }

// measuring is a shop with a metric attribution and a campaign.
type measuring struct {
	*shop.Shop
	tracking, campaign, attribution string
}

func measure(t *testing.T, output M, args ...string) measuring {
	t.Helper()
	h := shop.New(t, start(t, args...), "measured", "")
	h.Interactions = h.Dataset("Interactions", schema("Interactions", "USER_ID string", "ITEM_ID string", "TIMESTAMP long", "EVENT_TYPE string", "EVENT_VALUE float?", attributedField+" string?", "RECOMMENDATION_ID string?"))
	h.Items = h.Dataset("Items", shop.ItemsSchema)
	m := measuring{Shop: h}
	d := shop.Generate(60, 40, 1200, 71)
	for i, row := range d.Interactions {
		d.Interactions[i] = append(row, []string{attributedField, "RECOMMENDATION_ID"}...)
		if i > 0 {
			d.Interactions[i] = append(row, "", "")
		}
	}
	h.Load(h.Interactions, d.Interactions)
	h.Load(h.Items, d.Items)
	m.campaign = h.Make("CreateCampaign", "campaign", M{"name": "front", "solutionVersionArn": h.Version(h.Solution("aws-user-personalization-v2"))})
	m.tracking = h.Tracker()
	m.attribution = h.Make("CreateMetricAttribution", "metricAttribution", M{"name": "reports", "datasetGroupArn": h.Group, "metricsOutputConfig": output, "metrics": []M{
		{"eventType": "watch", "metricName": "countWatches", "expression": "SAMPLECOUNT()"},
		{"eventType": "watch", "metricName": "worth", "expression": "SUM(Items.PRICE)"},
		{"eventType": "watch", "metricName": "rated", "expression": "sum(interactions.EVENT_VALUE)"}}})
	return m
}

const attributedField = "EVENT_ATTRIBUTION_SOURCE"

// see sends one event.
func (m measuring) see(user, item string, at int64, more M) {
	m.T.Helper()
	e := M{"eventType": "Watch", "itemId": item, "sentAt": at}
	for k, v := range more {
		e[k] = v
	}
	m.Must("PutEvents", M{"trackingId": m.tracking, "sessionId": "canary-session", "userId": user, "eventList": []M{e}})
}

// page reads a page of metrics.
func (m measuring) page(query string) string {
	m.T.Helper()
	resp, err := http.Get(m.URL + "/metrics" + query)
	if err != nil {
		m.T.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		m.T.Fatal(err)
	}
	return string(text)
}

// windows is what the metrics came to, without the header.
func (m measuring) windows() (lines []string) {
	m.T.Helper()
	text := m.page("?metricAttributionArn=" + url.QueryEscape(m.attribution))
	head, rest, _ := strings.Cut(text, "\n")
	if head != "METRIC_NAME,EVENT_TYPE,VALUE,MATH_FUNCTION,EVENT_ATTRIBUTION_SOURCE,TIMESTAMP" {
		m.T.Fatalf("the windows are %q", text)
	}
	for line := range strings.Lines(rest) {
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
	return lines
}

// three is the lines of one source and window.
func three(source string, window int64, count, worth, rated string) []string {
	return []string{
		fmt.Sprintf("COUNTWATCHES,WATCH,%s,samplecount,%s,%d", count, source, window),
		fmt.Sprintf("WORTH,WATCH,%s,sum,%s,%d", worth, source, window),
		fmt.Sprintf("RATED,WATCH,%s,sum,%s,%d", rated, source, window),
	}
}

func sorted(lists ...[]string) []string { return slices.Sorted(slices.Values(slices.Concat(lists...))) }

func TestEventsAreMeasuredBySourceAndQuarterOfAnHour(t *testing.T) {
	t.Parallel()
	m := measure(t, M{"roleArn": shop.Role})
	if lines := m.windows(); len(lines) != 0 {
		t.Errorf("what came before the metric attribution is measured: %v", lines)
	}
	answer := m.Must("GetRecommendations", M{"campaignArn": m.campaign, "userId": "canary-1"})["recommendationId"].(string)
	now, before := quarter(0), quarter(3)
	m.see("canary-1", "item-0001", now, M{"recommendationId": answer, "eventValue": 2.5})
	m.see("canary-1", "item-0002", now, M{"recommendationId": answer})
	m.see("canary-2", "item-0003", before+899, M{"recommendationId": answer, "metricAttribution": M{"eventAttributionSource": "news letter"}, "eventValue": -1})
	m.see("canary-2", "item-9999", before, M{"recommendationId": "RID-00000000-0000-4000-8000-000000000000"})
	m.see("canary-2", "item-0003", before, M{"eventType": "click"})
	m.see("canary-2", "item-0003", now-15*24*3600, nil) // too old
	m.see("canary-2", "item-0003", now+5*3600, nil)     // too far ahead
	want := sorted(three(m.campaign, now, "2.0", "4.98", "2.5"), three("news letter", before, "1.0", "3.99", "-1.0"), three("SOURCE_NAME_UNDEFINED", before, "1.0", "0.0", "0.0"))
	check := func(when string) {
		t.Helper()
		if diff := cmp.Diff(want, sorted(m.windows())); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	check("at once")
	m.Kill()
	m.Restart()
	check("after a kill")
	if n := m.Forget("canary-nobody"); n != 0 { // which moves the log into the tables, and leaves no window of few events
		t.Errorf("numDeleted is %d", n)
	}
	want = nil
	check("after a deletion")
	for range 5 {
		m.see("canary-3", "item-0001", now, M{"metricAttribution": M{"eventAttributionSource": "many"}})
	}
	m.Forget("canary-3")
	want = sorted(three("many", now, "5.0", "9.95", "0.0"))
	check("after a deletion of one of many")
	m.Kill()
	m.Restart()
	check("after a deletion and a kill")

	numbers := m.page("")
	for _, line := range []string{
		`personalize_metric_attribution_value{event_attribution_source="many",metric_attribution_arn="` + m.attribution + `",metric_name="worth"} 9.9`,
		`personalize_metric_attribution_events{event_attribution_source="many",metric_attribution_arn="` + m.attribution + `",metric_name="rated"} 5`,
		`personalize_metric_attribution_window_value{event_attribution_source="many",metric_attribution_arn="` + m.attribution + `",metric_name="rated"} 0`,
	} {
		if !strings.Contains(numbers, line) {
			t.Errorf("/metrics lacks %s", line)
		}
	}
	m.Must("UpdateMetricAttribution", M{"metricAttributionArn": m.attribution, "removeMetrics": []string{"worth"}, "addMetrics": []M{{"eventType": "watch", "metricName": "worth", "expression": "SAMPLECOUNT()"}}})
	m.see("canary-4", "item-0001", now, M{"metricAttribution": M{"eventAttributionSource": "many"}})
	want = sorted([]string{fmt.Sprintf("WORTH,WATCH,1.0,samplecount,many,%d", now), fmt.Sprintf("COUNTWATCHES,WATCH,6.0,samplecount,many,%d", now), fmt.Sprintf("RATED,WATCH,0.0,sum,many,%d", now)})
	check("a metric of the same name that is another")

	m.Must("DeleteMetricAttribution", M{"metricAttributionArn": m.attribution})
	m.WatchGone("metricAttribution", m.attribution)
	m.see("canary-4", "item-0001", now, nil)
	if strings.Contains(m.page(""), "personalize_metric_attribution_value{") {
		t.Error("what was deleted is still published")
	}
}

func TestSourcesOfEventsAreLimitedToAHundred(t *testing.T) {
	t.Parallel()
	m := measure(t, M{"roleArn": shop.Role})
	at := quarter(1)
	for n := range 100 {
		m.see("canary-1", "item-0001", at, M{"metricAttribution": M{"eventAttributionSource": fmt.Sprint("source-", n)}})
	}
	event := func(kind, source string) M {
		e := M{"eventType": kind, "itemId": "item-0001", "sentAt": at}
		if source != "" {
			e["metricAttribution"] = M{"eventAttributionSource": source}
		}
		return M{"trackingId": m.tracking, "sessionId": "canary-session", "userId": "canary-1", "eventList": []M{e}}
	}
	if why := m.Refused("InvalidInputException", "PutEvents", event("watch", "one more")); !strings.Contains(why, "100 sources") {
		t.Errorf("it is refused because %q", why)
	}
	m.Must("PutEvents", event("watch", "source-7"))
	m.Must("PutEvents", event("watch", ""))
	m.Must("PutEvents", event("click", "one more")) // no metric counts it
	if rows := m.Export(m.Interactions, "PUT"); len(rows) != 1+103 {
		t.Errorf("%d events are stored", len(rows)-1)
	}
}

var reportName = regexp.MustCompile(`^reports/daily/AggregatedAttributionMetrics - (FULL|INCREMENTAL) - \d{10}\.csv$`)

// reports returns the texts of the reports by their mode.
func (m measuring) reports() (names, texts []string) {
	m.T.Helper()
	found, err := m.Objects.List(m.T.Context(), "reports/")
	if err != nil {
		m.T.Fatal(err)
	}
	for _, info := range found {
		parts := reportName.FindStringSubmatch(info.Key)
		if parts == nil {
			m.T.Errorf("an object is called %s", info.Key)
			continue
		}
		names = append(names, parts[1])
		texts = append(texts, m.Download(m.Objects, info.Key)...)
	}
	return names, texts
}

// bulk imports rows: user, item, time, event type, value, source.
func (m measuring) bulk(mode string, publish bool, rows ...[]string) (arn string) {
	m.T.Helper()
	all := [][]string{{"USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE", "EVENT_VALUE", attributedField, "RECOMMENDATION_ID"}}
	key := "in/" + m.Name("rows") + ".csv"
	m.Upload(m.Objects, key, shop.ToCSV(append(all, rows...)))
	return m.Must("CreateDatasetImportJob", M{"jobName": m.Name("import"), "datasetArn": m.Interactions, "roleArn": shop.Role, "importMode": mode, "publishAttributionMetricsToS3": publish,
		"dataSource": M{"dataLocation": "s3://shop/" + key}})["datasetImportJobArn"].(string)
}

func TestImportsAreReportedToS3AndIncrementalOnesMeasured(t *testing.T) {
	t.Parallel()
	m := measure(t, M{"roleArn": shop.Role, "s3DataDestination": M{"path": "s3://shop/reports/daily"}})
	if names, _ := m.reports(); len(names) != 0 {
		t.Errorf("the creation of a metric attribution leaves %v", names)
	}
	answer := m.Must("GetRecommendations", M{"campaignArn": m.campaign, "userId": "canary-1"})["recommendationId"].(string)
	recent, old := quarter(2), int64(1_700_000_100)
	row := func(user, item string, at int64, value, source, recommendation string) []string {
		return []string{user, item, fmt.Sprint(at), "watch", value, source, recommendation}
	}
	m.Imported(m.bulk("INCREMENTAL", true,
		row("canary-1", "item-0001", recent, "2", "", answer), row("canary-2", "item-0001", recent+1, "", "", answer), row("canary-1", "item-0000", recent, "1", "mail", answer),
		row("canary-1", "item-0002", old, "1", "", "RID-x"), []string{"canary-1", "item-0002", fmt.Sprint(old), "click", "", "mail", ""}))
	measured := sorted(three(m.campaign, recent, "2.0", "3.98", "2.0"), three("mail", recent, "1.0", "0.99", "1.0"))
	check := func(when string) {
		t.Helper()
		if diff := cmp.Diff(measured, sorted(m.windows())); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	check("after an incremental import")
	names, texts := m.reports()
	if len(names) != 1 || names[0] != "INCREMENTAL" {
		t.Fatalf("the reports are %v", names)
	}
	lines := strings.Split(strings.TrimSuffix(texts[0], "\n"), "\n")[1:]
	if diff := cmp.Diff(sorted(measured, three("SOURCE_NAME_UNDEFINED", old/900*900, "1.0", "2.99", "1.0")), sorted(lines)); diff != "" {
		t.Errorf("the report (-want +got):\n%s", diff)
	}
	if !slices.IsSortedFunc(lines, func(a, b string) int { return strings.Compare(b[len(b)-10:], a[len(a)-10:]) }) {
		t.Errorf("the newest window is not first: %v", lines)
	}

	m.Imported(m.bulk("INCREMENTAL", false, row("canary-9", "item-0001", recent, "", "mail", "")))
	measured = sorted(three(m.campaign, recent, "2.0", "3.98", "2.0"), three("mail", recent, "2.0", "2.98", "1.0"))
	check("an import that is not reported is measured")
	full := m.bulk("FULL", true, row("canary-1", "item-0001", recent, "", "mail", ""), row("canary-2", "item-0002", old, "", "", ""))
	m.Imported(full)
	check("a full import is not measured")
	names, texts = m.reports()
	if diff := cmp.Diff([]string{"FULL", "INCREMENTAL"}, names); diff != "" {
		t.Fatal(diff)
	}
	if diff := cmp.Diff(sorted(three("mail", recent, "1.0", "1.99", "0.0"), three("SOURCE_NAME_UNDEFINED", old/900*900, "1.0", "2.99", "0.0")),
		sorted(strings.Split(strings.TrimSuffix(texts[0], "\n"), "\n")[1:])); diff != "" {
		t.Errorf("the report of a full import (-want +got):\n%s", diff)
	}
	if d, _ := m.Describe("datasetImportJob", full); d["publishAttributionMetricsToS3"] != true || d["failureReason"] != nil {
		t.Errorf("the import is %v", d)
	}
}

// Whatever the process dies at, an import is measured once and has one report.
func TestAnImportThatIsKilledIsMeasuredOnce(t *testing.T) {
	t.Parallel()
	m := measure(t, M{"roleArn": shop.Role, "s3DataDestination": M{"path": "s3://shop/reports/daily/"}})
	at := quarter(2)
	for n, point := range []string{"import/staged", "tally/import:1", "tally/import:2", "import/report:1", "import/report:2", "import/done"} {
		m.Stop()
		if !strings.Contains(point, ":") {
			point += ":1"
		}
		m.Env = []string{"PALATE_CRASH=" + point}
		m.Restart()
		job := m.bulk("INCREMENTAL", true, []string{fmt.Sprint("canary-", n), "item-0000", fmt.Sprint(at + int64(n)), "watch", "1", "mail", ""})
		if !m.Died(t.Context()) {
			t.Fatalf("the server did not come by %s", point)
		}
		m.Env = nil
		m.Restart()
		m.Imported(job)
		count := float64(n + 1)
		if diff := cmp.Diff(sorted(three("mail", at, fmt.Sprintf("%.1f", count), strings.TrimSuffix(fmt.Sprintf("%.2f", 0.99*count), "0"), fmt.Sprintf("%.1f", count))), sorted(m.windows())); diff != "" {
			t.Errorf("killed at %s (-want +got):\n%s", point, diff)
		}
		names, texts := m.reports()
		if len(names) != n+1 {
			t.Fatalf("killed at %s there are %d reports, want %d", point, len(names), n+1)
		}
		if diff := cmp.Diff(sorted(three("mail", at, "1.0", "0.99", "1.0")), sorted(strings.Split(strings.TrimSuffix(texts[n], "\n"), "\n")[1:])); diff != "" {
			t.Errorf("killed at %s (-want +got):\n%s", point, diff)
		}
	}
}

// The place of a report is tried before an import changes anything. What becomes of it later does not undo the import.
func TestAnImportWhoseReportFailsAtTheEndIsThereAndSaysSo(t *testing.T) {
	t.Parallel()
	m := measure(t, M{"roleArn": shop.Role, "s3DataDestination": M{"path": "s3://shop/reports/daily"}})
	m.Stop()
	m.Env = []string{"PALATE_CRASH=import/staged:1"}
	m.Restart()
	at := quarter(2)
	job := m.bulk("INCREMENTAL", true, []string{"canary-1", "item-0000", fmt.Sprint(at), "watch", "1", "mail", ""})
	if !m.Died(t.Context()) {
		t.Fatal("the server did not come by the point")
	}
	reports := filepath.Join(m.Data, "buckets", "shop", "reports")
	if err := errors.Join(os.RemoveAll(reports), os.WriteFile(reports, []byte("in the way"), 0o600)); err != nil {
		t.Fatal(err)
	}
	m.Env = nil
	m.Restart()
	d := m.Wait("datasetImportJob", job)
	if reason, _ := d["failureReason"].(string); d["status"] != "ACTIVE" || !strings.HasPrefix(reason, "The data was imported. The metric attribution report was not written: ") {
		t.Errorf("the import is %v: %s", d["status"], reason)
	}
	if diff := cmp.Diff(sorted(three("mail", at, "1.0", "0.99", "1.0")), sorted(m.windows())); diff != "" {
		t.Errorf("what it is measured at (-want +got):\n%s", diff)
	}
}

func TestReportsNeedAPlaceThatCanBeWritten(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t))
	rows := [][]string{{"USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE", "EVENT_VALUE"}, {"canary-1", "i1", "1", "watch", ""}}
	h.Load(h.Interactions, rows)
	attribution := func(name, path string) M {
		return M{"name": name, "datasetGroupArn": h.Group, "metricsOutputConfig": M{"roleArn": shop.Role, "s3DataDestination": M{"path": path}},
			"metrics": []M{{"eventType": "watch", "metricName": "n", "expression": "SAMPLECOUNT()"}}}
	}
	publish := M{"jobName": "p", "datasetArn": h.Interactions, "roleArn": shop.Role, "publishAttributionMetricsToS3": true, "dataSource": M{"dataLocation": "s3://shop/in/"}}
	h.Refused("InvalidInputException", "CreateDatasetImportJob", publish)
	h.Refused("InvalidInputException", "CreateMetricAttribution", attribution("bad", "nowhere"))
	bad := h.Must("CreateMetricAttribution", attribution("bad", "s3://nowhere-at-all/x"))["metricAttributionArn"].(string)
	if why := failure(h, "metricAttribution", bad); !strings.Contains(why, "bucket does not exist") {
		t.Errorf("it failed because %q", why)
	}
	h.Must("DeleteMetricAttribution", M{"metricAttributionArn": bad})
	h.WatchGone("metricAttribution", bad)
	good := h.Make("CreateMetricAttribution", "metricAttribution", attribution("good", "s3://shop/reports"))
	h.Must("UpdateMetricAttribution", M{"metricAttributionArn": good, "metricsOutputConfig": M{"roleArn": shop.Role, "s3DataDestination": M{"path": "s3://nowhere-at-all/x"}}})
	if why := failure(h, "datasetImportJob", h.Must("CreateDatasetImportJob", publish)["datasetImportJobArn"].(string)); !strings.Contains(why, "bucket does not exist") {
		t.Errorf("the import failed because %q", why)
	}
	equalRows(t, "an import whose report cannot be written", rows, h.Export(h.Interactions, "ALL"))
}
