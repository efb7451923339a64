package work

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/filter"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/recipe"
	"github.com/palate-dev/palate/internal/schema"
)

// batchFilter is the filter of a batch job, with what it reads of the group's data: all of it as of when the job opened its model, because a job may ask about every
// item for every line. Whom an erasure has hidden since then is treated as unknown.
type batchFilter struct {
	filter  *filter.Filter
	schemas map[schema.Type]*schema.Schema           // of what records hold: the fields that the filter reads
	records map[schema.Type]map[string]filter.Record // by id
	events  *dataset.Events                          // nil if the filter reads none
	kinds   map[string][]string                      // by user: the types of his events; only of filters on users
	bound   *filter.Bound                            // of a filter without placeholders
	recent  int                                      // how many events of a type count; 0 is all
	hidden  func(user string) bool
}

// openFilter reads what a filter needs beside a model that knows the events up to a sequence number; nil if there is no filter.
func (w *worker) openFilter(ctx context.Context, groupARN, group, arn string, trained int64) (*batchFilter, error) {
	if arn == "" {
		return nil, nil
	}
	parsed, tables, schemas, err := w.parsedFilter(ctx, groupARN, arn)
	if err != nil {
		return nil, err
	}
	b := &batchFilter{
		filter: parsed, schemas: schemas, records: map[schema.Type]map[string]filter.Record{}, recent: w.Limits.FilterInteractions,
		hidden: func(user string) bool {
			_, hidden := w.Engine.Hidden(group, user)
			return hidden
		},
	}
	for _, t := range tables {
		if err := b.read(ctx, w.Engine, t, trained); err != nil {
			return nil, err
		}
	}
	if len(parsed.Placeholders()) == 0 {
		if b.bound, err = parsed.Bind(b.schemas, nil); err != nil { // fields cannot go, but datasets can
			return nil, job.Fail("%s", err)
		}
	}
	return b, nil
}

// parsedFilter is a filter with the tables of its group, and the schemas of what it reads of them.
func (w *worker) parsedFilter(ctx context.Context, group, arn string) (parsed *filter.Filter, tables []dataset.Table, narrow map[schema.Type]*schema.Schema, err error) {
	r, err := w.get(ctx, arn)
	if err != nil {
		return nil, nil, nil, err
	}
	doc, err := meta.Doc[api.Filter](r)
	if err != nil {
		return nil, nil, nil, err
	}
	if parsed, err = filter.Parse(doc.FilterExpression); err != nil {
		return nil, nil, nil, fmt.Errorf("parse the stored expression of %s: %w", arn, err)
	}
	if tables, err = w.tables(ctx, group); err != nil {
		return nil, nil, nil, err
	}
	schemas := map[schema.Type]*schema.Schema{}
	for _, t := range tables {
		schemas[t.Schema.Type] = t.Schema
	}
	return parsed, tables, parsed.Narrow(schemas), nil
}

// Bytes of what a batch job holds beside the files of its model, with the garbage that the collector lets stand.
const (
	heldEvent   = 96  // a row of Interactions that a filter reads: as it is read and sorted, and as it stands in dataset.Events
	heldRow     = 160 // a record with its id, in a map
	heldValue   = 96  // a field of it
	holdingRow  = 16  // an event, once more by its item
	heldAtLeast = 16 << 20
)

// memoryForBatch waits for the memory of what a batch job reads beside its model, of that which trainings share, and refuses a job for which there never is enough.
func (w *worker) memoryForBatch(ctx context.Context, run batchRun, report func(job.Progress)) (*heldMemory, error) {
	var events, records, need int64
	if run.filter != "" {
		parsed, tables, narrow, err := w.parsedFilter(ctx, run.group, run.filter)
		if err != nil {
			return nil, err
		}
		for _, t := range tables {
			n, err := w.Engine.Count(ctx, t)
			switch s := narrow[t.Schema.Type]; {
			case err != nil:
				return nil, err
			case t.Schema.Type == schema.Interactions && parsed.ReadsEvents():
				events += n
				need += n * heldEvent
			case s != nil:
				records += n
				need += n * int64(heldRow+heldValue*len(s.Fields))
			}
		}
	}
	if run.holds {
		table, ok, err := w.tableOfType(ctx, run.group, schema.Interactions)
		if err != nil {
			return nil, err
		}
		if ok {
			n, err := w.Engine.Count(ctx, table)
			if err != nil {
				return nil, err
			}
			events = max(events, n)
			need += n * holdingRow
		}
	}
	if need == 0 {
		return nil, nil
	}
	if need += heldAtLeast; w.memory.limit > 0 && need > w.memory.limit {
		return nil, job.Fail("The job reads %d interactions and %d records beside its model, which need about %s of memory, but all trainings and batch jobs together may take %s. "+
			"Start palate with a larger --training-memory, or use a filter that reads less.", events, records, recipe.SizeText(need), recipe.SizeText(w.memory.limit))
	}
	report(job.Progress{Phase: "waiting for memory"})
	return w.memory.hold(ctx, need)
}

// read takes what the filter reads of one dataset. Sessions are their users' as far as the model knows that, as in requests.
func (b *batchFilter) read(ctx context.Context, engine *dataset.Engine, t dataset.Table, trained int64) (err error) {
	if t.Schema.Type == schema.Interactions && b.filter.ReadsEvents() {
		if b.events, err = engine.EventsSince(ctx, t, trained); err != nil {
			return err
		}
		if b.filter.Entity() == filter.UserID {
			b.kinds = kindsByUser(b.events)
			b.events = nil
		}
		return nil
	}
	narrow := b.schemas[t.Schema.Type]
	if narrow == nil {
		return nil
	}
	var columns []int
	for _, f := range narrow.Fields {
		columns = append(columns, t.Schema.Index(f.Name))
	}
	key, records := t.Schema.KeyField(), map[string]filter.Record{}
	b.records[t.Schema.Type] = records
	return engine.Effective(ctx, t, func(r dataset.Row) error {
		record := make(filter.Record, len(columns))
		for i, c := range columns {
			if c < len(r.Values) {
				record[i] = r.Values[c]
				record[i].Str = strings.Clone(record[i].Str)
			}
		}
		records[strings.Clone(r.Values[key].Str)] = record
		return nil
	})
}

// kindsByUser collects the types of each user's events. Users with the same types share a list.
func kindsByUser(ev *dataset.Events) map[string][]string {
	kinds, lists := make(map[string][]string, len(ev.Users)), map[string][]string{}
	var codes []uint16
	for u, id := range ev.Users {
		codes = codes[:0]
		for _, code := range ev.Type[ev.Offsets[u]:ev.Offsets[u+1]] {
			if !slices.Contains(codes, code) {
				codes = append(codes, code)
			}
		}
		slices.Sort(codes)
		key := fmt.Sprint(codes)
		if lists[key] == nil {
			for _, code := range codes {
				lists[key] = append(lists[key], ev.Types[code])
			}
		}
		kinds[id] = lists[key]
	}
	return kinds
}

// bind gives the filter a line's values, or says what is wrong with them.
func (b *batchFilter) bind(values map[string]string) (bound *filter.Bound, problem string) {
	if b.bound != nil {
		return b.bound, ""
	}
	bound, err := b.filter.Bind(b.schemas, values)
	if err != nil {
		return nil, err.Error()
	}
	return bound, ""
}

// items tells, for a line of a batch inference job, which items the filter takes out.
func (b *batchFilter) items(in *batchInput) (exclude func(item string) bool, problem string) {
	named := in.UserID != nil && *in.UserID != ""
	if b.filter.NeedsUser() && !named {
		return nil, "The filter of the job needs a userId."
	}
	bound, problem := b.bind(in.FilterValues)
	if problem != "" {
		return nil, problem
	}
	subject := filter.Subject{Anonymous: !named}
	var types map[string][]string
	if named && !b.hidden(*in.UserID) {
		subject.User = b.records[schema.Users][*in.UserID]
		types = b.history(*in.UserID)
	}
	if in.ItemID != nil {
		subject.Item = b.records[schema.Items][*in.ItemID]
	}
	selection := bound.For(subject)
	return func(item string) bool {
		return !selection.Keeps(filter.Candidate{Record: b.records[schema.Items][item], Types: types[item]})
	}, ""
}

// history is what tests on interactions look at for a user.
func (b *batchFilter) history(user string) map[string][]string {
	if b.events == nil {
		return nil
	}
	u, ok := slices.BinarySearch(b.events.Users, user)
	if !ok {
		return nil
	}
	var events []filter.Event
	for at := b.events.Offsets[u]; at < b.events.Offsets[u+1]; at++ {
		events = append(events, filter.Event{Of: b.events.Items[b.events.Item[at]], Type: b.events.Types[b.events.Type[at]]})
	}
	return filter.Recent(filter.ItemID, events, b.recent)
}

// users tells, for a line of a batch segment job, which users pass the filter.
func (b *batchFilter) users(values map[string]string) (keep func(user string) bool, problem string) {
	bound, problem := b.bind(values)
	if problem != "" {
		return nil, problem
	}
	selection := bound.For(filter.Subject{Anonymous: true})
	return func(user string) bool {
		return selection.Keeps(filter.Candidate{Record: b.records[schema.Users][user], Types: b.kinds[user]})
	}, ""
}
