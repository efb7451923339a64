package work

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/attribution"
	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/crash"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/schema"
)

// An import counts for its group's metric attribution after its rows are in: what is measured are the rows that the table got from it, so a deletion that came
// between takes its users out. The place of its report is tried before, so that a report that cannot be written keeps the rows out.

// checkReports is the creation of a metric attribution: its reports must be writable.
func (w *worker) checkReports(ctx context.Context, r *meta.Resource) error {
	d, err := meta.Doc[api.MetricAttribution](r)
	if err != nil {
		return err
	}
	if d.MetricsOutputConfig == nil || d.MetricsOutputConfig.S3DataDestination == nil {
		return nil
	}
	store, prefix, err := w.output(ctx, d.MetricsOutputConfig.S3DataDestination.Path)
	if err != nil {
		return customerFault(err)
	}
	return customerFault(probe(ctx, store, prefix, d.MetricsOutputConfig.S3DataDestination.KMSKeyARN))
}

// probe writes a small object into a folder and takes it away again, if it may.
func probe(ctx context.Context, store blob.Store, prefix, kmsKey string) error {
	key := prefix + newName("write-check")
	if err := store.Create(ctx, key, strings.NewReader("palate may write here\n"), blob.PutOptions{KMSKeyARN: kmsKey}); err != nil {
		return err
	}
	if err := store.Destroy(ctx, key); err != nil && !errors.Is(err, blob.ErrDenied) {
		return err
	}
	return nil
}

// beginAttribution notes, once for all attempts, where the rows of an import will begin and how its report is called.
func (w *worker) beginAttribution(ctx context.Context, t *job.Task, p *meta.ImportPrivate, mode, group string) error {
	a := p.Attribution
	if a == nil || a.After > 0 {
		return nil
	}
	if a.Path != "" {
		store, prefix, err := w.output(ctx, a.Path)
		if err != nil {
			return customerFault(err)
		}
		if err := probe(ctx, store, prefix, a.KMSKeyARN); err != nil {
			return customerFault(err)
		}
		if a.Key, err = unusedName(ctx, store, prefix, mode); err != nil {
			return customerFault(err)
		}
	}
	var err error
	if a.After, err = w.Engine.Fence(ctx, group); err != nil {
		return err
	}
	return t.Update(ctx, func(_ *meta.Tx, r *meta.Resource) error { return r.SetPrivate(*p) })
}

// unusedName is the key of a new report.
func unusedName(ctx context.Context, store blob.Store, prefix, mode string) (string, error) {
	there, err := store.List(ctx, prefix+attribution.ReportPrefix)
	if err != nil && !errors.Is(err, blob.ErrDenied) { // the role of a metric attribution need not list
		return "", err
	}
	for at := time.Now(); ; at = at.Add(time.Second) {
		key := prefix + attribution.ReportName(mode, at)
		if !slices.ContainsFunc(there, func(i blob.Info) bool { return i.Key == key }) {
			return key, nil
		}
	}
}

// attribute counts the rows of an import that has committed, and writes its report. unreported is why the report could not be written, "" if it was or none was
// wanted: the rows are in, so the job has not failed.
func (w *worker) attribute(ctx context.Context, t *job.Task, p meta.ImportPrivate, table dataset.Table, incremental bool) (unreported string, err error) {
	a := p.Attribution
	if a == nil {
		return "", nil
	}
	began := time.Now()
	t.Progress(job.Progress{Phase: "attribution", Started: began})
	report, err := w.measure(ctx, t.Resource().Group, a, table)
	if err != nil {
		return "", fmt.Errorf("measure an import: %w", err)
	}
	if incremental {
		counts, many := report.Counts()
		if many {
			w.Log.Warn("an import has events of too many sources for the metrics of its dataset group; its report has all", "job", t.Resource().ARN, "most", attribution.MaxSources)
		}
		if err := w.Engine.CountImport(table.Group, p.ID, counts); err != nil {
			return "", err
		}
	}
	if a.Path == "" {
		return "", nil
	}
	crash.Point("import/report")
	err = w.writeReport(ctx, a, report)
	crash.Point("import/report")
	fault := customerFault(err)
	if errors.Is(err, attribution.ErrLong) {
		fault = job.Fail("%s", attribution.ErrLong)
	}
	if job.Failed(fault) {
		w.Log.Warn("the report of an import could not be written", "job", t.Resource().ARN, "error", err)
		return "The data was imported. The metric attribution report was not written: " + fault.Error(), nil
	}
	return "", err
}

// measure reads the rows of an import.
func (w *worker) measure(ctx context.Context, group string, a *meta.ImportAttribution, table dataset.Table) (*attribution.Report, error) {
	items, hasItems, err := w.tableOfType(ctx, group, schema.Items)
	if err != nil {
		return nil, err
	}
	admit := func(source string) bool { return w.Engine.AdmitSource(table.Group, source, attribution.MaxSources) }
	report := attribution.NewReport(attribution.Compile(a.ID, a.Metrics, table.Schema, items.Schema), time.Now(), admit)
	at := func(name string) func(row *dataset.Row) string {
		i := table.Schema.Index(name)
		return func(row *dataset.Row) string {
			if i < 0 {
				return ""
			}
			return row.Values[i].Str
		}
	}
	item, kind, said, recommendation := at("ITEM_ID"), at("EVENT_TYPE"), at("EVENT_ATTRIBUTION_SOURCE"), at("RECOMMENDATION_ID")
	seconds := table.Schema.Index("TIMESTAMP")
	err = w.Engine.BulkRows(ctx, table, a.After, func(row dataset.Row) error {
		source := attribution.SourceOf(said(&row), func() string { return w.AnswerTarget(table.Group, recommendation(&row)) })
		return report.Add(attribution.Event{Type: kind(&row), Source: source, Time: row.Values[seconds].Int, Values: row.Values}, func() ([]schema.Value, error) {
			if !hasItems {
				return nil, nil
			}
			found, _, err := w.Engine.Lookup(ctx, items, item(&row))
			return found.Values, err
		})
	})
	return report, err
}

func (w *worker) writeReport(ctx context.Context, a *meta.ImportAttribution, report *attribution.Report) error {
	store, _, err := w.output(ctx, a.Path)
	if err != nil {
		return err
	}
	if err := abandon(ctx, store, a.Key); err != nil {
		return err
	}
	r, in := io.Pipe()
	go func() { in.CloseWithError(report.WriteCSV(in)) }() // ends when r is closed
	defer r.Close()
	return store.Create(ctx, a.Key, r, blob.PutOptions{KMSKeyARN: a.KMSKeyARN})
}

// forgetCounts ends the metrics of an attribution that is being deleted.
func (w *worker) forgetCounts(ctx context.Context, r *meta.Resource) error {
	g, err := w.get(ctx, r.Group)
	if err != nil {
		return err
	}
	p, err := meta.Private[meta.GroupPrivate](g)
	if err != nil {
		return err
	}
	return w.Engine.ForgetCounts(ctx, p.ID, func(s dataset.Series) bool { return attribution.Of(s) == r.Seq })
}
