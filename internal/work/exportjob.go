package work

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/crash"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/metrics"
)

var ingestion = map[string]dataset.Ingestion{"BULK": dataset.ExportBulk, "PUT": dataset.ExportPut, "ALL": dataset.ExportAll}

// export is a dataset export job: {path}/{jobName}/part-00000.csv and on. An object appears whole or not at all; a resumed job writes all of them again, and leaves
// neither parts of uploads nor objects of an earlier attempt.
func (w *worker) export(ctx context.Context, t *job.Task) error {
	d, err := meta.Doc[api.DatasetExportJob](t.Resource())
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
	destination := d.JobOutput.S3DataDestination
	store, prefix, err := w.output(ctx, destination.Path)
	if err != nil {
		return customerFault(err)
	}
	total, err := w.Engine.Count(ctx, table)
	if err != nil {
		return err
	}
	started := time.Now()
	progress := func(rows int64) {
		t.Progress(job.Progress{Phase: "export", Done: rows, Total: total, Unit: "rows", Started: started})
	}
	crash.Point("export/parts")
	key := func(part int) string { return fmt.Sprintf("%s%s/part-%05d.csv", prefix, d.JobName, part) }
	var begun int // how many parts any attempt has begun to write
	if err := t.Load(&begun); err != nil {
		return err
	}
	for part := range begun { // of an attempt that was cut off
		if err := abandon(ctx, store, key(part)); err != nil {
			return customerFault(err)
		}
	}
	written := 0
	rows, err := w.Engine.Export(ctx, table, ingestion[d.IngestionMode], progress, func(part int, r io.Reader) error {
		if part >= begun {
			begun = part + 1
			if err := t.Save(ctx, begun); err != nil {
				return err
			}
		}
		written = part + 1
		if err := store.Create(ctx, key(part), r, blob.PutOptions{KMSKeyARN: destination.KMSKeyARN}); err != nil {
			return err
		}
		crash.Point("export/part")
		return nil
	})
	if err != nil {
		return customerFault(err)
	}
	for part := written; part < begun; part++ { // rows may have gone since an earlier attempt wrote it
		if err := store.Destroy(ctx, key(part)); err != nil {
			return customerFault(err)
		}
	}
	metrics.ExportRows.Add(float64(rows))
	w.Log.Info("export finished", "job", t.Resource().ARN, "rows", rows, "took", time.Since(started).Round(time.Millisecond))
	return t.Done(ctx, func(_ *meta.Tx, r *meta.Resource) error {
		r.Status = meta.Active
		return r.SetPrivate(meta.ExportPrivate{Rows: rows})
	})
}
