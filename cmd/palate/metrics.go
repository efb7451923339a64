package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/meta"
)

// state is what metrics read when they are asked for: the queues of the engine, and the jobs.
type state struct {
	engine *dataset.Engine
	db     *meta.DB
}

var (
	logBytes = prometheus.NewDesc("palate_log_bytes", "Bytes of event logs that wait to be folded into data files.", nil, nil)
	putQueue = prometheus.NewDesc("palate_put_queue", "Put calls that wait to be written to an event log.", nil, nil)
	jobCount = prometheus.NewDesc("palate_jobs", "Jobs that are not over, by kind and status.", []string{"kind", "status"}, nil)
	jobAge   = prometheus.NewDesc("palate_oldest_job_seconds", "Age of the oldest job that is not over, by kind.", []string{"kind"}, nil)
)

func (s state) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{logBytes, putQueue, jobCount, jobAge} {
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
	counts, oldest := make(map[[2]string]int), make(map[string]time.Time)
	err := s.db.View(ctx, func(tx *meta.Tx) error {
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
	for k, n := range counts {
		gauge(jobCount, float64(n), k[0], k[1])
	}
	for kind, created := range oldest {
		gauge(jobAge, time.Since(created).Seconds(), kind)
	}
}
