package serve

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/schema"
)

const maxColumns = 10

// column is a field of the Items dataset that a response carries.
type column struct {
	name  string // as the response has it: CREATION_TIMESTAMP is creationTimestamp
	index int    // of the field
	kind  schema.Kind
}

// columns reads the metadataColumns of a request against the Items dataset.
func (t *target) columns(asked map[string][]string) ([]column, error) {
	if len(asked) == 0 {
		return nil, nil
	}
	var names []string
	for kind, columns := range asked { // one entry, by the shape
		if !strings.EqualFold(kind, string(schema.Items)) {
			return nil, api.Errorf(api.InvalidInput, "metadataColumns can only name columns of ITEMS.")
		}
		names = columns
	}
	switch {
	case len(names) > maxColumns:
		return nil, api.Errorf(api.InvalidInput, "metadataColumns can name at most %d columns.", maxColumns)
	case !t.metadata:
		return nil, api.Errorf(api.InvalidInput, "Metadata is not enabled for %s.", t.arn)
	case t.items == nil:
		return nil, api.Errorf(api.InvalidInput, "The dataset group has no Items dataset to take metadata from.")
	}
	found := make([]column, 0, len(names))
	for _, name := range names {
		i := t.items.Schema.Match(name)
		if i < 0 {
			return nil, api.Errorf(api.InvalidInput, "metadataColumns: the Items dataset has no column %s.", name)
		}
		f := t.items.Schema.Fields[i]
		found = append(found, column{camel(f.Name), i, f.Kind})
	}
	return found, nil
}

// addMetadata puts the columns of each item's newest record into the list. Items without a record have none.
func (s *Service) addMetadata(ctx context.Context, t *target, columns []column, list []api.PredictedItem) error {
	if len(columns) == 0 {
		return nil
	}
	for i := range list {
		row, ok, err := s.engine.Lookup(ctx, *t.items, list[i].ItemID)
		if err != nil {
			return fmt.Errorf("read the metadata of an item: %w", err)
		}
		if ok {
			list[i].Metadata = metadata(columns, row.Values)
		}
	}
	return nil
}

// metadata renders the columns of a record; those that are null are left out.
func metadata(columns []column, values []schema.Value) map[string]string {
	m := make(map[string]string, len(columns))
	for _, c := range columns {
		if c.index < len(values) && values[c.index].Valid {
			m[c.name] = text(c.kind, values[c.index])
		}
	}
	return m
}

func text(kind schema.Kind, v schema.Value) string {
	switch kind {
	case schema.Int, schema.Long:
		return strconv.FormatInt(v.Int, 10)
	case schema.Float, schema.Double:
		return strconv.FormatFloat(v.Float, 'f', -1, 64)
	case schema.Boolean:
		return strconv.FormatBool(v.Int != 0)
	default:
		return v.Str
	}
}

// camel writes a field's name as properties and metadata have it: CATEGORY_L1 is categoryL1. A name that has lower-case letters already and no
// underscore stays as it is.
func camel(name string) string {
	if !strings.Contains(name, "_") && name != strings.ToUpper(name) {
		return name
	}
	var b strings.Builder
	up := false
	for _, r := range strings.ToLower(name) {
		switch {
		case r == '_':
			up = b.Len() > 0
		case up:
			b.WriteString(strings.ToUpper(string(r)))
			up = false
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
