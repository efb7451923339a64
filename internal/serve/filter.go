package serve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/filter"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/recipe"
	"github.com/palate-dev/palate/internal/schema"
)

// namedFilter is a filter as requests see it, with the datasets that it reads. It is never changed.
type namedFilter struct {
	arn     string
	scope   string
	group   string // ARN of the dataset group
	refusal error  // why it cannot be used now; nil if it can
	parsed  *filter.Filter
	schemas map[schema.Type]*schema.Schema
	tables  map[schema.Type]dataset.Table

	itemFields []string // names of the fields of Items that it reads, in upper case
}

// filter looks up a filter that the caller may see; nil for no ARN.
func (s *Service) filter(ctx context.Context, arn string) (*namedFilter, error) {
	if arn == "" {
		return nil, nil
	}
	f, _, err := lookup(ctx, s.catalog, meta.Filter+" "+arn, func(tx *meta.Tx) (*namedFilter, error) {
		r, err := find(tx, arn, meta.Filter)
		if err != nil {
			return nil, err
		}
		return loadFilter(tx, r)
	})
	if err != nil {
		return nil, err
	}
	if f.scope != scope(ctx) {
		return nil, notFound(arn)
	}
	return f, nil
}

func loadFilter(tx *meta.Tx, r *meta.Resource) (*namedFilter, error) {
	f := &namedFilter{arn: r.ARN, scope: r.Scope, group: r.Group, schemas: map[schema.Type]*schema.Schema{}, tables: map[schema.Type]dataset.Table{}}
	if r.Status != meta.Active {
		f.refusal = api.Errorf(api.InvalidInput, "Filter %s is in status %s and cannot be used.", r.ARN, r.Status)
		return f, nil
	}
	doc, err := meta.Doc[api.Filter](r)
	if err != nil {
		return nil, err
	}
	if f.parsed, err = filter.Parse(doc.FilterExpression); err != nil {
		return nil, fmt.Errorf("parse the stored expression of %s: %w", r.ARN, err)
	}
	for _, name := range f.parsed.Fields() {
		if field, ok := strings.CutPrefix(name, string(schema.Items)+"."); ok {
			f.itemFields = append(f.itemFields, field)
		}
	}
	rows, err := tx.Find(meta.Query{Kind: meta.Dataset, Group: r.Group})
	if err != nil {
		return nil, fmt.Errorf("find the datasets of %s: %w", r.Group, err)
	}
	for _, d := range rows {
		if d.Status == meta.CreateFailed || deleting(d.Status) {
			continue
		}
		t, err := table(d)
		if err != nil {
			return nil, err
		}
		f.tables[t.Schema.Type], f.schemas[t.Schema.Type] = t, t.Schema
	}
	return f, nil
}

// check holds a filter against a request.
func (f *namedFilter) check(t *target, user string) error {
	entity, selects := filter.ItemID, "items"
	if t.recipe.Type == recipe.PersonalizedActions {
		entity, selects = filter.ActionID, "actions"
	}
	switch {
	case f.refusal != nil:
		return f.refusal
	case f.group != t.group:
		return api.Errorf(api.InvalidInput, "Filter %s belongs to another dataset group than %s.", f.arn, t.arn)
	case f.parsed.Entity() != entity:
		return api.Errorf(api.InvalidInput, "Filter %s does not select %s.", f.arn, selects)
	case f.parsed.UsesCurrentItem() && !t.recipe.Has(recipe.CurrentItem):
		return api.Errorf(api.InvalidInput, "Filter %s refers to CurrentItem, which requests of the recipe %s do not have.", f.arn, t.recipe.Name)
	case f.parsed.NeedsUser() && user == "":
		return api.Errorf(api.InvalidInput, "userId is required, because filter %s depends on the user.", f.arn)
	}
	return nil
}

// A selection is a filter for one request.
type selection struct {
	s     *Service
	f     *namedFilter
	of    schema.Type // of the candidates: Items or Actions
	bound *filter.Bound
	who   filter.Subject
	kept  *filter.Selection   // bound for who
	types map[string][]string // by candidate: types of the user's events with it that a test asks for
	err   error               // the first failure to read a record

	compiled *filter.Compiled // the same by codes of the model; nil if there is no view of it
}

// compile prepares the filter for the items of a model by their codes.
func (sel *selection) compile(m *model) error {
	v, err := sel.s.view(m, sel.f)
	if v == nil || err != nil {
		return err
	}
	types := make(map[int32][]string, len(sel.types))
	for id, kinds := range sel.types {
		if code, ok := m.Code(id); ok {
			types[code] = kinds
		}
	}
	sel.compiled = sel.kept.On(v.columns, types)
	return nil
}

// failure is why what the selection said cannot be trusted. Like close, it may be asked of no selection.
func (sel *selection) failure() error {
	if sel == nil {
		return nil
	}
	return sel.err
}

// close lets go of the view.
func (sel *selection) close() {
	if sel != nil && sel.compiled != nil {
		sel.compiled.Done()
	}
}

// selects prepares a filter for the candidates of a request by a user.
func (s *Service) selects(ctx context.Context, t *target, f *namedFilter, values map[string]string, user, item string) (*selection, error) {
	bound, err := f.parsed.Bind(f.schemas, values)
	if err != nil {
		return nil, api.Errorf(api.InvalidInput, "%s", err)
	}
	sel := &selection{s: s, f: f, of: schema.Items, bound: bound}
	if f.parsed.Entity() == filter.ActionID {
		sel.of = schema.Actions
	}
	subject := filter.Subject{Anonymous: user == ""}
	if f.parsed.NeedsUser() && !(s.strict && s.engine.Forgetting(t.events)) {
		if subject.User, err = sel.record(ctx, schema.Users, user); err != nil {
			return nil, err
		}
		if sel.types, err = sel.history(ctx, t, user, bound.Recent); err != nil {
			return nil, err
		}
	}
	if f.parsed.UsesCurrentItem() {
		if subject.Item, err = sel.record(ctx, schema.Items, item); err != nil {
			return nil, err
		}
	}
	sel.who, sel.kept = subject, bound.For(subject)
	return sel, nil
}

// record reads the newest record of a user, an item or an action; nil if there is none.
func (sel *selection) record(ctx context.Context, kind schema.Type, id string) (filter.Record, error) {
	t, ok := sel.f.tables[kind]
	if !ok {
		return nil, nil
	}
	row, ok, err := sel.s.engine.Lookup(ctx, t, id)
	if err != nil {
		return nil, fmt.Errorf("read a record for a filter: %w", err)
	}
	if !ok {
		return nil, nil
	}
	return row.Values, nil
}

// history is what tests on interactions look at, by filter.Recent or the Recent of a bound filter: the imported events of the user and the newest of the streamed ones.
func (sel *selection) history(ctx context.Context, t *target, user string, recent func(filter.Entity, []filter.Event, int) map[string][]string) (map[string][]string, error) {
	entity, log, since, most := filter.ItemID, schema.Interactions, sel.s.engine.Since, sel.s.limits.FilterInteractions
	if sel.of == schema.Actions {
		entity, log, since, most = filter.ActionID, schema.ActionInteractions, sel.s.engine.ActionsSince, sel.s.limits.FilterActions
	}
	table, ok := sel.f.tables[log]
	if !ok || !sel.f.parsed.ReadsEvents() {
		return nil, nil
	}
	events, err := sel.s.engine.Imported(ctx, table, user)
	if err != nil && !errors.Is(err, dataset.ErrNoTable) {
		return nil, err
	}
	if streamed, _ := since(t.events, user, 0, sel.s.strict); len(streamed) > 0 {
		events = slices.Concat(events, streamed)
		slices.SortStableFunc(events, func(a, b dataset.LiveEvent) int { return cmp.Compare(a.Time, b.Time) })
	}
	looked := make([]filter.Event, len(events))
	for i, e := range events {
		looked[i] = filter.Event{Of: e.Item, Type: e.Type}
	}
	return recent(entity, looked, most), nil
}

// excludes tells whether the filter takes a candidate out.
func (sel *selection) excludes(ctx context.Context, id string) bool {
	if sel.err != nil {
		return true
	}
	record, err := sel.record(ctx, sel.of, id)
	if err != nil {
		sel.err = err
		return true
	}
	return !sel.kept.Keeps(filter.Candidate{Record: record, Types: sel.types[id]})
}
