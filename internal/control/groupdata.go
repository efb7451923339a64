package control

import (
	"fmt"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/recipe"
	"github.com/palate-dev/palate/internal/schema"
)

// groupData is what a dataset group holds, as the rules of solutions, recommenders, filters and metric attributions see it.
type groupData struct {
	datasets map[schema.Type]*meta.Resource
	schemas  map[schema.Type]*schema.Schema // in force; a type without a dataset is missing
}

// dataOf reads what a dataset group holds. What failed to be created, or is leaving, is not there.
func dataOf(tx *meta.Tx, group string) (groupData, error) {
	data := groupData{map[schema.Type]*meta.Resource{}, map[schema.Type]*schema.Schema{}}
	found, err := tx.Find(meta.Query{Kind: meta.Dataset, Group: group, Statuses: living})
	if err != nil {
		return data, err
	}
	for _, r := range found {
		p, err := meta.Private[meta.DatasetPrivate](r)
		if err != nil {
			return data, err
		}
		schema, err := schema.Parse(p.Schema, p.Domain)
		if err != nil {
			return data, fmt.Errorf("parse the schema of %s: %w", r.ARN, err)
		}
		data.datasets[schema.Type], data.schemas[schema.Type] = r, schema
	}
	return data, nil
}

// has reports whether the dataset of that type exists and has the column.
func (g groupData) has(t schema.Type, column string) bool {
	schema := g.schemas[t]
	return schema != nil && schema.Match(column) >= 0
}

// isEventType reports whether a column's name, in any of its spellings, means EVENT_TYPE.
func (g groupData) isEventType(column string) bool {
	schema := g.schemas[schema.Interactions]
	return schema != nil && schema.Match("EVENT_TYPE") >= 0 && schema.Match(column) == schema.Match("EVENT_TYPE")
}

// require checks that the group has every dataset that a recipe cannot do without, ready to be used. A dataset stays usable
// while its schema is being replaced.
func (g groupData) require(e *recipe.Entry) error {
	for _, t := range e.Requires {
		r := g.datasets[t]
		if r == nil {
			return api.Errorf(api.InvalidInput, "Dataset group does not have a dataset of type %s.", t)
		}
		if r.Status == meta.CreatePending || r.Status == meta.CreateInProgress {
			return inUse(r)
		}
	}
	return nil
}
