package work

import (
	"context"
	"slices"
	"time"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/recipe"
	"github.com/palate-dev/palate/internal/schema"
)

// attributes reads the group's Items or Users dataset: all rows, and of the columns those that the recipe reads and the plan leaves in; nil if the group has
// no such dataset.
func (w *worker) attributes(ctx context.Context, group string, kind schema.Type, plan trainingPlan) (*recipe.Attributes, error) {
	table, ok, err := w.tableOfType(ctx, group, kind)
	if err != nil || !ok {
		return nil, err
	}
	added, err := w.addedColumns(ctx, group, kind)
	if err != nil {
		return nil, err
	}
	b := recipe.NewAttributesBuilder(table.Schema, func(f schema.Field) bool {
		if o := plan.config.Objective; o != nil && kind == schema.Items && schema.SameName(f.Name, o.Attribute) {
			return true
		}
		return slices.Contains(plan.entry.Reads, kind) && plan.trainsOn(kind, f.Name, added[f.Name])
	})
	err = w.Engine.Effective(ctx, table, func(r dataset.Row) error {
		b.Add(r.Values)
		return nil
	})
	return b.Attributes(), err
}

// contextColumns names the columns of the interactions that a recipe which takes context trains on: the categorical and numeric ones that the plan leaves in.
func (p *trainingPlan) contextColumns(s *schema.Schema) (names []string) {
	at, value := s.Match("TIMESTAMP"), s.Match("EVENT_VALUE")
	for i, f := range s.Fields { // none came later: interactions keep their schema
		speaks := f.Kind == schema.String && f.Categorical || f.Kind.Numeric() && i != at && i != value
		if p.entry.Has(recipe.Context) && speaks && p.trainsOn(s.Type, f.Name, time.Time{}) {
			names = append(names, f.Name)
		}
	}
	return names
}

// addedColumns tells when the columns came that a dataset had not from the beginning.
func (w *worker) addedColumns(ctx context.Context, group string, kind schema.Type) (map[string]time.Time, error) {
	rows, err := w.find(ctx, meta.Query{Kind: meta.Dataset, Group: group})
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		p, err := meta.Private[meta.DatasetPrivate](r)
		if err != nil {
			return nil, err
		}
		if p.Type == string(kind) {
			return p.Added, nil
		}
	}
	return nil, nil
}

// latestItems is the sequence number of the group's newest item, for recipes that follow items.
func (w *worker) latestItems(ctx context.Context, group string, entry *recipe.Entry) (int64, error) {
	if entry.Follows() != schema.Items {
		return 0, nil
	}
	table, ok, err := w.tableOfType(ctx, group, schema.Items)
	if err != nil || !ok {
		return 0, err
	}
	return w.Engine.Latest(ctx, table)
}

// configured is when the configuration was made that a resource is trained by: with its solution or with the recommender.
func (w *worker) configured(ctx context.Context, r *meta.Resource) (time.Time, error) {
	if r.Kind == meta.SolutionVersion {
		solution, err := w.get(ctx, r.Parent)
		if err != nil {
			return time.Time{}, err
		}
		return solution.Created, nil
	}
	return r.Created, nil
}

// noteAdded records the columns of the schema to come that the one in force lacks.
func noteAdded(p *meta.DatasetPrivate, next *schema.Schema, at time.Time) error {
	now, err := schema.Parse(p.Schema, p.Domain)
	if err != nil {
		return err
	}
	for _, f := range next.Fields {
		if now.Match(f.Name) < 0 {
			if p.Added == nil {
				p.Added = map[string]time.Time{}
			}
			p.Added[f.Name] = at.UTC()
		}
	}
	return nil
}

// trainsOn reports whether the plan leaves a column in the training. One that was added to the dataset later than the solution or recommender was created is
// out, unless the configuration includes it by name.
func (p *trainingPlan) trainsOn(kind schema.Type, column string, added time.Time) bool {
	names := func(given map[string][]string) (listed, named bool) {
		for name, columns := range given {
			if schema.SameName(name, string(kind)) {
				return true, slices.ContainsFunc(columns, func(c string) bool { return schema.SameName(c, column) })
			}
		}
		return false, false
	}
	c := p.columns
	if c == nil {
		c = &api.TrainingDataConfig{}
	}
	_, excluded := names(c.ExcludedDatasetColumns)
	listed, included := names(c.IncludedDatasetColumns)
	return included || !listed && !excluded && !added.After(p.since)
}
