package main

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/palate-dev/palate/internal/attribution"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/meta"
)

// state is what metrics read when they are asked for: the queues of the engine, and the jobs.
type state struct {
	engine *dataset.Engine
	db     *meta.DB
}

var attributionLabels = []string{"metric_attribution_arn", "metric_name", "event_attribution_source"}

var (
	logBytes         = prometheus.NewDesc("palate_log_bytes", "Bytes of event logs that wait to be folded into data files.", nil, nil)
	putQueue         = prometheus.NewDesc("palate_put_queue", "Put calls that wait to be written to an event log.", nil, nil)
	datasetSize      = prometheus.NewDesc("personalize_dataset_size_bytes", "CloudWatch DatasetSize: CSV bytes of the newest import.", []string{"dataset_group_arn", "dataset_arn"}, nil)
	noticeCount      = prometheus.NewDesc("palate_webhook_waiting", "Changes of status that the webhook is still to be told of.", nil, nil)
	jobCount         = prometheus.NewDesc("palate_jobs", "Jobs that are not over, by kind and status.", []string{"kind", "status"}, nil)
	attributed       = prometheus.NewDesc("personalize_metric_attribution_value", "What a metric of a metric attribution has come to, by source of the events, since it was defined.", attributionLabels, nil)
	attributedEvents = prometheus.NewDesc("personalize_metric_attribution_events", "How many events a metric of a metric attribution has counted.", attributionLabels, nil)
	attributedWindow = prometheus.NewDesc("personalize_metric_attribution_window_value", "What a metric of a metric attribution came to in the last quarter of an hour that is over.", attributionLabels, nil)
	jobAge           = prometheus.NewDesc("palate_oldest_job_seconds", "Age of the oldest job that is not over, by kind.", []string{"kind"}, nil)
)

func (s state) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{logBytes, putQueue, datasetSize, noticeCount, jobCount, jobAge, attributed, attributedEvents, attributedWindow} {
		ch <- d
	}
}

func (s state) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	bytes, requests := s.engine.Waiting()
	gauge(logBytes, float64(bytes))
	gauge(putQueue, float64(requests))
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Second)
	defer stop()
	waiting := 0
	sizes := make(map[[2]string]int64)
	counts, oldest := make(map[[2]string]int), make(map[string]time.Time)
	err := s.db.View(ctx, func(tx *meta.Tx) error {
		var err error
		if waiting, err = tx.CountNotices(); err != nil {
			return err
		}
		datasets, err := tx.Find(meta.Query{Kind: meta.Dataset})
		if err != nil {
			return err
		}
		for _, r := range datasets {
			p, err := meta.Private[meta.DatasetPrivate](r)
			if err != nil {
				return err
			}
			if p.Size > 0 {
				sizes[[2]string{r.Group, r.ARN}] = p.Size
			}
		}
		for _, kind := range jobKinds {
			rows, err := tx.Find(meta.Query{Kind: kind})
			if err != nil {
				return err
			}
			for _, r := range rows {
				if r.Job.Kind == "" {
					continue
				}
				counts[[2]string{kind, r.Status}]++
				if first, ok := oldest[kind]; !ok || r.Created.Before(first) {
					oldest[kind] = r.Created
				}
			}
		}
		return nil
	})
	if err != nil {
		return
	}
	gauge(noticeCount, float64(waiting))
	for labels, size := range sizes {
		gauge(datasetSize, float64(size), labels[:]...)
	}
	attributions, err := s.attributions(ctx)
	if err != nil {
		return
	}
	now := time.Now()
	for _, a := range attributions {
		for _, total := range a.metrics.Totals(s.engine.Tally(a.group, attribution.LastWindow(now)), now) {
			labels := []string{a.arn, total.Metric, total.Source}
			gauge(attributed, total.Sum.Value, labels...)
			gauge(attributedEvents, float64(total.Sum.Events), labels...)
			gauge(attributedWindow, total.Last.Value, labels...)
		}
	}
	for k, n := range counts {
		gauge(jobCount, float64(n), k[0], k[1])
	}
	for kind, created := range oldest {
		gauge(jobAge, time.Since(created).Seconds(), kind)
	}
}

// measuring is one metric attribution that is in force.
type measuring struct {
	arn     string
	group   string // the dataset engine's name of its dataset group
	metrics *attribution.Metrics
}

// attributions reads those that are in force.
func (s state) attributions(ctx context.Context) (all []measuring, err error) {
	err = s.db.View(ctx, func(tx *meta.Tx) error {
		rows, err := tx.Find(meta.Query{Kind: meta.MetricAttribution, Statuses: []string{meta.Active}})
		if err != nil {
			return err
		}
		for _, r := range rows {
			g, err := tx.Get(r.Group)
			if err != nil {
				return err
			}
			group, err := meta.Private[meta.GroupPrivate](g)
			if err != nil {
				return err
			}
			p, err := meta.Private[meta.AttributionPrivate](r)
			if err != nil {
				return err
			}
			all = append(all, measuring{r.ARN, group.ID, attribution.Compile(r.Seq, p.Metrics, nil, nil)})
		}
		return nil
	})
	return all, err
}

// pages answers with all metrics, or with the windows of one metric attribution if the query names it.
func (s state) pages(all http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has(attributionQuery) {
			s.serveWindows(w, r)
		} else {
			all.ServeHTTP(w, r)
		}
	})
}

const attributionQuery = "metricAttributionArn"

// serveWindows answers with what the metrics of a metric attribution came to in each window of the last two weeks, in the form of the reports of imports.
func (s state) serveWindows(w http.ResponseWriter, r *http.Request) {
	all, err := s.attributions(r.Context())
	if err != nil {
		http.Error(w, "the metric attributions cannot be read", http.StatusInternalServerError)
		return
	}
	arn := r.URL.Query().Get(attributionQuery)
	i := slices.IndexFunc(all, func(a measuring) bool { return a.arn == arn })
	if i < 0 {
		http.Error(w, attributionQuery+" names no metric attribution that is ACTIVE", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	attribution.ReportOf(all[i].metrics, s.engine.Tally(all[i].group)).WriteCSV(w) // an error is the client's
}
