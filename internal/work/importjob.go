package work

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/metrics"
	"github.com/palate-dev/palate/internal/rowtext"
	"github.com/palate-dev/palate/internal/schema"
)

// importRows is a dataset import job: all rows of all files, or none.
func (w *worker) importRows(ctx context.Context, t *job.Task) error {
	d, err := meta.Doc[api.DatasetImportJob](t.Resource())
	if err != nil {
		return err
	}
	p, err := meta.Private[meta.ImportPrivate](t.Resource())
	if err != nil {
		return err
	}
	if err := t.Status(ctx, meta.CreateInProgress); err != nil {
		return err
	}
	table, err := w.table(ctx, d.DatasetARN)
	if err != nil {
		return err
	}
	objects, err := w.listCSV(ctx, d.DataSource.DataLocation, false)
	if err != nil {
		return customerFault(err)
	}
	incremental := d.ImportMode == "INCREMENTAL"
	if err := w.checkImportSize(totalSize(objects), incremental); err != nil {
		return err
	}
	if err := w.beginAttribution(ctx, t, &p, d.ImportMode, table.Group); err != nil {
		return err
	}
	started := time.Now()
	spec := dataset.Import{
		Job:         p.ID,
		Incremental: incremental,
		Progress: func(_, bytes, total int64) {
			t.Progress(job.Progress{Phase: "import", Done: bytes, Total: total, Unit: "bytes", Started: started})
		},
	}
	spec.Erasures = func(ctx context.Context) ([]string, error) { return w.erasuresSince(ctx, t.Resource()) }
	if table.Schema.Type == schema.Interactions {
		spec.MinRows = w.Limits.ImportRows
	}
	for _, o := range objects {
		spec.Objects = append(spec.Objects, o)
	}
	rows, err := w.Engine.Import(ctx, table, spec)
	if fault := new(rowtext.InputError); errors.As(err, &fault) && fault.Line > 1 {
		if err := w.report(ctx, t, p, table.Schema, spec.Objects); err != nil {
			return err
		}
	}
	if err != nil {
		return customerFault(err)
	}
	unreported, err := w.attribute(ctx, t, p, table, incremental)
	if err != nil && (!t.Last() || ctx.Err() != nil) {
		return err
	}
	if err != nil { // the rows are in: the job has not failed
		w.Log.Error("an import could not be measured", "job", t.Resource().ARN, "error", err)
		unreported = "The data was imported. It was not measured for the metric attribution: internal error, see the server log."
	}
	metrics.ImportRows.Add(float64(rows))
	metrics.ImportBytes.Add(float64(totalSize(objects)))
	w.Log.Info("import finished", "job", t.Resource().ARN, "rows", rows, "took", time.Since(started).Round(time.Millisecond))
	return t.Done(ctx, func(tx *meta.Tx, r *meta.Resource) error {
		p.Rows = rows
		r.Status, r.Failure = meta.Active, unreported
		return errors.Join(r.SetPrivate(p), noteSize(tx, d.DatasetARN, totalSize(objects)))
	})
}

// noteSize keeps with a dataset how large its newest import was.
func noteSize(tx *meta.Tx, arn string, bytes int64) error {
	r, err := tx.Get(arn)
	if err != nil {
		return err
	}
	p, err := meta.Private[meta.DatasetPrivate](r)
	if err != nil {
		return err
	}
	p.Size = bytes
	return errors.Join(r.SetPrivate(p), tx.Put(r))
}

// report keeps with the job what is wrong with the rows of its input, beyond the first failure that its failureReason names.
func (w *worker) report(ctx context.Context, t *job.Task, p meta.ImportPrivate, s *schema.Schema, objects []rowtext.Object) error {
	t.Progress(job.Progress{Phase: "report", Started: time.Now()})
	report, err := json.Marshal(rowtext.Report(ctx, s, objects))
	if err != nil {
		return err
	}
	p.Report = report
	return t.Update(ctx, func(_ *meta.Tx, r *meta.Resource) error { return r.SetPrivate(p) })
}

func (w *worker) checkImportSize(size int64, incremental bool) error {
	limit := w.Limits.ImportBytes
	if incremental {
		limit = w.Limits.IncrementalImportBytes
	}
	if limit > 0 && size > limit {
		return job.Fail("Total size of the import data, %d bytes, exceeds %d bytes.", size, limit)
	}
	return nil
}
