package work

import (
	"context"
	"strings"

	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/recipe"
	"github.com/palate-dev/palate/internal/schema"
)

// themes prepares themes for the answers of a model, with the names of items as they stand now in a column of the Items dataset.
func (w *worker) themes(ctx context.Context, group string, m *recipe.Model, column string) (*recipe.Themer, error) {
	table, ok, err := w.tableOfType(ctx, group, schema.Items)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, job.Fail("Dataset group does not have a dataset of type %s.", schema.Items)
	}
	id, name := table.Schema.KeyField(), table.Schema.Match(column)
	if name < 0 {
		return nil, job.Fail("Items dataset has no column %s.", column)
	}
	names := map[string]string{}
	err = w.Engine.Effective(ctx, table, func(r dataset.Row) error {
		if name < len(r.Values) && r.Values[name].Valid {
			names[strings.Clone(r.Values[id].Str)] = strings.Clone(r.Values[name].Str)
		}
		return nil
	})
	return m.Themes(names), err
}
