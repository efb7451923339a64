package work

import (
	"context"
	"time"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/metrics"
)

// handle gives the queue a body, and its durations and outcomes to the metrics.
func (w *worker) handle(q *job.Queue, kind string, s job.Spec) {
	run := s.Run
	s.Run = func(ctx context.Context, t *job.Task) error {
		row, start := t.Resource(), time.Now()
		err := fullDisk(s, run(ctx, t))
		outcome := "done"
		switch {
		case job.Failed(err):
			outcome = "failed"
		case err != nil:
			outcome = "interrupted" // stopped, or tried again
		}
		metrics.JobSeconds.WithLabelValues(kind, outcome).Observe(time.Since(start).Seconds())
		if outcome != "interrupted" {
			amazons(row, outcome == "failed", time.Since(start))
		}
		return err
	}
	q.Handle(kind, s)
}

// amazons counts what Amazon counts of jobs.
func amazons(row *meta.Resource, failed bool, took time.Duration) {
	switch row.Kind {
	case meta.ImportJob:
		d, err := meta.Doc[api.DatasetImportJob](row)
		if err != nil {
			return
		}
		metrics.DatasetImportJobRequests.WithLabelValues(row.Group, d.DatasetARN).Inc()
		if failed {
			metrics.DatasetImportJobError.WithLabelValues(row.Group, d.DatasetARN).Inc()
			return
		}
		metrics.DatasetImportJobExecutionTime.WithLabelValues(row.Group, d.DatasetARN).Observe(took.Seconds())
	case meta.SolutionVersion:
		d, err := meta.Doc[api.SolutionVersion](row)
		if err != nil {
			return
		}
		metrics.TrainingJobRequests.WithLabelValues(d.SolutionARN).Inc()
		if failed {
			metrics.TrainingJobError.WithLabelValues(d.SolutionARN).Inc()
			return
		}
		metrics.TrainingJobExecutionTime.WithLabelValues(d.SolutionARN).Observe(took.Seconds())
	}
}
