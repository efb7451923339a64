// Package metrics names what palate counts and measures, for Prometheus.
//
// Where Amazon Personalize publishes a CloudWatch metric, ours is its name in snake case after "personalize_", with its dimensions as labels, except for those that
// grow with every job, and for the event tracker, of which a dataset group has one: a label is a resource that somebody made and keeps. The rest begins with "palate_". No label, ever, holds a user, an item or anything else
// that a request brought: an ARN becomes a label only once it was found. docs/operations.md lists them all.
package metrics

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

var registry = prometheus.NewRegistry()

var define = promauto.With(registry)

func init() {
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}

// Handler answers with all metrics, and those of more collectors.
func Handler(more ...prometheus.Collector) (http.Handler, error) {
	own := prometheus.NewRegistry()
	for _, c := range more {
		if err := own.Register(c); err != nil {
			return nil, err
		}
	}
	return promhttp.HandlerFor(prometheus.Gatherers{registry, own}, promhttp.HandlerOpts{}), nil
}

var (
	milliseconds = []float64{.25, .5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10000}
	jobSeconds   = []float64{.1, .5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600}
	fsyncSeconds = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .5, 1}
)

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return define.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return define.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
}

// Of the HTTP server.
var (
	Requests       = counter("palate_requests_total", "Requests to the API, by operation and HTTP status.", "operation", "status")
	CallsRefused   = counter("palate_calls_refused_total", "Calls refused with ThrottlingException because too many of their operation were under way.", "operation")
	RequestSeconds = histogram("palate_request_seconds", "How long requests took, by operation.", []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}, "operation")
)

// Of the dataset engine.
var (
	ImportRows  = define.NewCounter(prometheus.CounterOpts{Name: "palate_import_rows_total", Help: "Rows that imports have committed."})
	ImportBytes = define.NewCounter(prometheus.CounterOpts{Name: "palate_import_bytes_total", Help: "Bytes of CSV that imports have read."})
	ExportRows  = define.NewCounter(prometheus.CounterOpts{Name: "palate_export_rows_total", Help: "Rows that exports have written."})
	PutRows     = define.NewCounter(prometheus.CounterOpts{Name: "palate_put_rows_total", Help: "Streamed rows that were acknowledged."})
	PutBusy     = define.NewCounter(prometheus.CounterOpts{Name: "palate_put_refused_total", Help: "Put calls that were refused with ThrottlingException because a queue was full."})
	LogFsync    = define.NewHistogram(prometheus.HistogramOpts{Name: "palate_log_fsync_seconds", Help: "Duration of an fsync of an event log.", Buckets: fsyncSeconds})
	LogBatch    = define.NewHistogram(prometheus.HistogramOpts{Name: "palate_log_batch_calls", Help: "Calls that share one fsync.", Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512}})
	Folds       = define.NewHistogram(prometheus.HistogramOpts{Name: "palate_fold_seconds", Help: "Duration of folding a log into data files.", Buckets: jobSeconds})
	FoldRows    = define.NewCounter(prometheus.CounterOpts{Name: "palate_fold_rows_total", Help: "Rows folded from logs into data files."})
	Compactions = define.NewHistogram(prometheus.HistogramOpts{Name: "palate_compaction_seconds", Help: "Duration of a compaction that changed a table.", Buckets: jobSeconds})
)

// Of jobs.
var (
	JobSeconds     = histogram("palate_job_seconds", "Duration of jobs, by kind and outcome.", jobSeconds, "kind", "outcome")
	ErasureSeconds = histogram("palate_erasure_phase_seconds", "Duration of the phases of data deletion jobs.", jobSeconds, "phase")
	ErasedUsers    = define.NewCounter(prometheus.CounterOpts{Name: "palate_erasure_users_total", Help: "Distinct users that data deletion jobs listed."})
	ErasedRows     = define.NewCounter(prometheus.CounterOpts{Name: "palate_erasure_rows_total", Help: "Rows that data deletion jobs removed."})
	RebuiltModels  = define.NewCounter(prometheus.CounterOpts{Name: "palate_erasure_models_rebuilt_total", Help: "Models rebuilt without deleted users."})
	LeaksFound     = define.NewCounter(prometheus.CounterOpts{Name: "palate_erasure_leaks_total", Help: "Data deletion jobs whose verification found something."})
	S3Requests     = counter("palate_s3_requests_total", "Requests of jobs to S3, by operation and outcome.", "operation", "outcome")
)

// Of webhooks.
var (
	NoticesSent    = define.NewCounter(prometheus.CounterOpts{Name: "palate_webhook_sent_total", Help: "Changes of status that the webhook was told of."})
	NoticesFailed  = define.NewCounter(prometheus.CounterOpts{Name: "palate_webhook_failures_total", Help: "Attempts to tell the webhook that failed."})
	NoticesGivenUp = define.NewCounter(prometheus.CounterOpts{Name: "palate_webhook_given_up_total", Help: "Changes of status that the webhook was never told of."})
)

// Amazon's, of jobs.
var (
	DatasetImportJobRequests      = counter("personalize_dataset_import_job_requests_total", "CloudWatch DatasetImportJobRequests.", "dataset_group_arn", "dataset_arn")
	DatasetImportJobError         = counter("personalize_dataset_import_job_error_total", "CloudWatch DatasetImportJobError.", "dataset_group_arn", "dataset_arn")
	DatasetImportJobExecutionTime = histogram("personalize_dataset_import_job_execution_time_seconds", "CloudWatch DatasetImportJobExecutionTime.", jobSeconds, "dataset_group_arn", "dataset_arn")
	TrainingJobRequests           = counter("personalize_solution_training_job_requests_total", "CloudWatch SolutionTrainingJobRequests.", "solution_arn")
	TrainingJobError              = counter("personalize_solution_training_job_error_total", "CloudWatch SolutionTrainingJobError.", "solution_arn")
	TrainingJobExecutionTime      = histogram("personalize_solution_training_job_execution_time_seconds", "CloudWatch SolutionTrainingJobExecutionTime.", jobSeconds, "solution_arn")
)

// An Operation is what Amazon counts of one operation of the runtime or events API, by resource.
type Operation struct {
	dimensions                           dimensions
	requests, clientErrors, serverErrors *prometheus.CounterVec
	latency                              *prometheus.HistogramVec
	known                                sync.Map // resource ARN -> *measured
}

// measured holds the series of one resource, which saves looking them up for every request.
type measured struct {
	requests, clientErrors, serverErrors prometheus.Counter
	latency                              prometheus.Observer
}

// dimensions are the labels of an operation, and their values for a resource, "" if none was found.
type dimensions struct {
	labels []string
	of     func(arn string) []string
}

// ofAnswers are those of what answers recommendations. CloudWatch has the campaign only.
var ofAnswers = dimensions{[]string{"campaign_arn", "recommender_arn"}, func(arn string) []string {
	if strings.Contains(arn, ":recommender/") {
		return []string{"", arn}
	}
	return []string{arn, ""}
}}

// ofDatasets are those of what takes records. The name of its group stands in the ARN of a dataset.
var ofDatasets = dimensions{[]string{"dataset_group_arn", "dataset_arn"}, func(arn string) []string {
	where, name, _ := strings.Cut(arn, ":dataset/")
	group, _, ok := strings.Cut(name, "/")
	if !ok {
		return []string{"", arn}
	}
	return []string{where + ":dataset-group/" + group, arn}
}}

// operation defines the metrics of an operation: name is its CloudWatch name in snake case, latency that of its latency.
func operation(name, latency string, d dimensions) *Operation {
	return &Operation{
		dimensions:   d,
		requests:     counter("personalize_"+name+"_requests_total", "CloudWatch Requests of the operation.", d.labels...),
		clientErrors: counter("personalize_"+name+"_4xx_errors_total", "CloudWatch 4xxErrors of the operation.", d.labels...),
		serverErrors: counter("personalize_"+name+"_5xx_errors_total", "CloudWatch 5xxErrors of the operation.", d.labels...),
		latency:      histogram("personalize_"+latency+"_milliseconds", "CloudWatch Latency of the operation, of calls that succeeded.", milliseconds, d.labels...),
	}
}

// Amazon's, of requests. Labels are "" for requests whose resource was not found.
var (
	GetRecommendations     = operation("get_recommendations", "get_recommendations_latency", ofAnswers)
	GetPersonalizedRanking = operation("get_personalized_ranking", "get_personalized_ranking_latency", ofAnswers)
	GetActions             = operation("get_action_recommendations", "get_action_recommendations_latency", ofAnswers)
	PutEvents              = operation("put_events", "put_event_latency", ofDatasets)
	PutItems               = operation("put_items", "put_items_latency", ofDatasets)
	PutUsers               = operation("put_users", "put_users_latency", ofDatasets)
	PutActions             = operation("put_actions", "put_actions_latency", ofDatasets)
	PutActionInteractions  = operation("put_action_interactions", "put_action_interactions_latency", ofDatasets)
)

// operations are those that Amazon counts by resource.
var operations = map[string]*Operation{
	"GetRecommendations": GetRecommendations, "GetPersonalizedRanking": GetPersonalizedRanking, "GetActionRecommendations": GetActions,
	"PutEvents": PutEvents, "PutItems": PutItems, "PutUsers": PutUsers, "PutActions": PutActions, "PutActionInteractions": PutActionInteractions,
}

// Refused counts a call that was refused before anything was known of it but its operation, see wire.Options.Refused. Amazon's metrics are of calls that were looked at.
func Refused(operation string, status int) {
	CallsRefused.WithLabelValues(operation).Inc()
	seriesOf(operation, status).count.Inc()
}

// Request counts a request to the API, see wire.Options.Observe.
func Request(operation, resource string, status int, start time.Time) {
	if operation == "" {
		operation = "unknown"
	}
	series := seriesOf(operation, status)
	series.count.Inc()
	series.took.Observe(time.Since(start).Seconds())
	if o := operations[operation]; o != nil {
		o.Done(resource, status, start)
	}
}

func seriesOf(operation string, status int) *requestSeries {
	key := requestKey{operation, status}
	m, ok := requests.Load(key)
	if !ok {
		m, _ = requests.LoadOrStore(key, &requestSeries{Requests.WithLabelValues(operation, strconv.Itoa(status)), RequestSeconds.WithLabelValues(operation)})
	}
	return m.(*requestSeries)
}

type requestKey struct {
	operation string
	status    int
}

type requestSeries struct {
	count prometheus.Counter
	took  prometheus.Observer
}

var requests sync.Map // requestKey -> *requestSeries

// Done counts a request that took until now. arn must be of a resource that was found, or ""; status is that of HTTP.
func (o *Operation) Done(arn string, status int, start time.Time) {
	m := o.of(arn)
	m.requests.Inc()
	switch {
	case status >= 500:
		m.serverErrors.Inc()
	case status >= 400:
		m.clientErrors.Inc()
	default:
		m.latency.Observe(float64(time.Since(start)) / float64(time.Millisecond))
	}
}

func (o *Operation) of(arn string) *measured {
	if m, ok := o.known.Load(arn); ok {
		return m.(*measured)
	}
	values := o.dimensions.of(arn)
	m, _ := o.known.LoadOrStore(arn, &measured{
		o.requests.WithLabelValues(values...), o.clientErrors.WithLabelValues(values...), o.serverErrors.WithLabelValues(values...), o.latency.WithLabelValues(values...),
	})
	return m.(*measured)
}
