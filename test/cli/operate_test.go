package cli

import (
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/palate-dev/palate/test/server"
	"github.com/palate-dev/palate/test/shop"
)

// series reads /metrics and returns the names of its families, as a Prometheus server parses them, and the whole text.
func series(t *testing.T, url string) (families map[string]int, text string) {
	t.Helper()
	resp, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("/metrics answers %d, %v", resp.StatusCode, err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	parsed, err := parser.TextToMetricFamilies(strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	families = map[string]int{}
	for name, f := range parsed {
		families[name] = len(f.Metric)
	}
	return families, string(body)
}

func TestOperatorsSeeWhatHappensAndNoUser(t *testing.T) {
	s := server.Start(t, "--verbose", "--log-format", "json")
	h := shop.Open(t, s)
	d := shop.Generate(50, 20, 900, 93)
	h.LoadAll(d)
	campaign := h.Make("CreateCampaign", "campaign", shop.M{"name": "c", "solutionVersionArn": h.Version(h.Solution("aws-user-personalization"))})
	h.Recommend(campaign, d.Users[0], 5)
	h.Refused("ResourceNotFoundException", "GetRecommendations", shop.M{"campaignArn": campaign + "-canary", "userId": d.Users[0]})
	tracker := h.Tracker()
	h.Must("PutEvents", shop.M{"trackingId": tracker, "sessionId": "canary-session", "userId": d.Users[1], "eventList": []shop.M{{"eventType": "view", "itemId": d.Items[0][0], "sentAt": 1_700_000_000}}})
	h.Export(h.Interactions, "ALL")
	h.Forget(d.Users[:2]...)
	bad := h.StartImport(h.Interactions, [][]string{{"USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE", "EVENT_VALUE"}, {"canary-user", "i1", "5", "view", ""}, {"canary-user", "i1", "canary-time", "view", ""}, {"canary-user", "i1", "x", "view", ""}}, "INCREMENTAL")
	if job := h.Wait("datasetImportJob", bad); job["status"] != "CREATE FAILED" {
		t.Fatal(job)
	}

	families, text := series(t, s.URL)
	for _, name := range []string{
		"palate_requests_total", "palate_request_seconds", "palate_import_rows_total", "palate_import_bytes_total", "palate_export_rows_total", "palate_put_rows_total",
		"palate_put_refused_total", "palate_put_queue", "palate_log_bytes", "palate_log_fsync_seconds", "palate_log_batch_calls", "palate_fold_seconds", "palate_fold_rows_total",
		"palate_compaction_seconds", "palate_job_seconds", "palate_erasure_phase_seconds", "palate_erasure_users_total", "palate_erasure_rows_total",
		"palate_erasure_models_rebuilt_total", "palate_erasure_leaks_total", "palate_s3_requests_total", "personalize_dataset_import_job_requests_total",
		"personalize_dataset_import_job_error_total", "personalize_dataset_import_job_execution_time_seconds", "personalize_dataset_size_bytes",
		"personalize_solution_training_job_requests_total", "personalize_solution_training_job_execution_time_seconds", "personalize_get_recommendations_requests_total",
		"personalize_get_recommendations_4xx_errors_total", "personalize_get_recommendations_latency_milliseconds", "personalize_put_events_requests_total",
		"personalize_put_event_latency_milliseconds", "go_goroutines", "process_cpu_seconds_total",
	} {
		if families[name] == 0 {
			t.Errorf("/metrics lacks %s", name)
		}
	}
	for _, line := range []string{
		`personalize_get_recommendations_requests_total{campaign_arn="` + campaign + `",recommender_arn=""} 1`, `personalize_get_recommendations_4xx_errors_total{campaign_arn="",recommender_arn=""} 1`,
		`personalize_put_events_requests_total{dataset_arn="` + h.Interactions + `",dataset_group_arn="` + h.Group + `"} 1`,
		"palate_erasure_users_total 2", "palate_put_rows_total 1", "palate_erasure_leaks_total 0",
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("/metrics lacks the line %s", line)
		}
	}
	for name, said := range map[string]string{"metrics": text, "log": s.Log()} {
		for _, id := range append(d.Users, "canary-user", "canary-session", "canary-time", "-canary") {
			if strings.Contains(said, id) {
				t.Errorf("the %s holds %s", name, id)
			}
		}
	}
	for line := range strings.Lines(s.Log()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}

	out := must(t, "jobs", bad, "--data", s.Data)
	if !strings.Contains(out, "2 of all 3 rows do not conform") || !strings.Contains(out, ":3 ") || !strings.Contains(out, "TIMESTAMP") || strings.Contains(out, "canary") {
		t.Errorf("jobs ARN: %s", out)
	}
	var detail struct{ RowReport struct{ Rows, Failed int } }
	if err := json.Unmarshal([]byte(must(t, "jobs", "--json", "--data", s.Data, bad)), &detail); err != nil || detail.RowReport.Failed != 2 {
		t.Errorf("jobs --json ARN: %v %+v", err, detail)
	}
	fails(t, "no job arn:none in", "jobs", "arn:none", "--data", s.Data)
}

func TestMetricsAreNotForEverybodyWhereCallersMustSign(t *testing.T) {
	t.Setenv("PALATE_ACCESS_KEY_ID", "AKIDREAL")
	t.Setenv("PALATE_SECRET_ACCESS_KEY", "secret")
	s := server.Start(t)
	if status, _ := get(t, s.URL+"/metrics"); status == http.StatusOK {
		t.Error("/metrics answers without credentials")
	}
	fails(t, "--metrics-listen must be HOST:PORT", "serve", "--metrics-listen", "9", "--data", filepath.Join(t.TempDir(), "d"))
	own := server.Start(t, "--metrics-listen", "127.0.0.1:0")
	_, rest, ok := strings.Cut(own.Log(), "url=http://")
	if !ok {
		t.Fatal("the log does not say where the metrics are")
	}
	where, _, _ := strings.Cut(rest, "/")
	if families, _ := series(t, "http://"+where); families["palate_log_bytes"] == 0 {
		t.Error("--metrics-listen answers without palate's metrics")
	}
	if status, _ := get(t, "http://"+where+"/readyz"); status != http.StatusOK {
		t.Errorf("/readyz there answers %d", status)
	}
}

// TestTheSizeOfADatasetOutlivesARestart: the gauge is that of the newest import that succeeded, as long as there is the dataset.
func TestTheSizeOfADatasetOutlivesARestart(t *testing.T) {
	s := server.Start(t)
	h := shop.Open(t, s)
	const header = "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE\n"
	load := func(text string) map[string]any {
		key := h.Name("size") + ".csv"
		s.Upload(h.Objects, key, header+text)
		return h.Wait("datasetImportJob", h.StartImportOf(h.Interactions, key, "FULL"))
	}
	shown := func() string {
		_, text := series(t, s.URL)
		for line := range strings.Lines(text) {
			if name, value, _ := strings.Cut(line, "} "); name == `personalize_dataset_size_bytes{dataset_arn="`+h.Interactions+`",dataset_group_arn="`+h.Group+`"` {
				return strings.TrimSpace(value)
			}
		}
		return "none"
	}
	if size := shown(); size != "none" {
		t.Errorf("before any import the size is %s", size)
	}
	load("u,i,1,view,\nu,j,2,view,\n")
	load("u,i,1,view,\n")
	if job := load("u,i,never,view,\n"); job["status"] != "CREATE FAILED" {
		t.Fatal(job)
	}
	want := strconv.Itoa(len(header + "u,i,1,view,\n"))
	if size := shown(); size != want {
		t.Errorf("the size is %s, the newest import has %s bytes", size, want)
	}
	s.Kill()
	s.Restart()
	if size := shown(); size != want {
		t.Errorf("after a restart the size is %s, want %s", size, want)
	}
	s.Must("DeleteDataset", shop.M{"datasetArn": h.Interactions})
	h.WatchGone("dataset", h.Interactions)
	if size := shown(); size != "none" {
		t.Errorf("of a dataset that is gone the size is %s", size)
	}
}
