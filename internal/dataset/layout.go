package dataset

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/apache/iceberg-go"

	"github.com/palate-dev/palate/internal/schema"
)

// The columns that every table has beside its schema's.
const (
	sourceColumn  = schema.SourceColumn
	seqColumn     = schema.SeqColumn
	sessionColumn = schema.SessionColumn
	eventColumn   = schema.EventColumn
)

// columnInfo is one stored column of a schema's field.
type columnInfo struct {
	name     string
	id       int // Iceberg field id
	kind     schema.Kind
	required bool
}

// layout is how the rows of one table are stored. Columns stand in the order of their Iceberg field ids: a column that is added later comes last, so that
// an index into cols means the same for ever, and a row stored before the addition is simply shorter.
type layout struct {
	kind    schema.Type
	cols    []columnInfo
	system  map[string]int // field ids of the system columns
	key     int            // the column that decides the bucket and comes first in the sort order
	time    int            // TIMESTAMP, or -1
	order   []int          // the columns after key and time in which rows are compared
	buckets int
}

// keyName is the field by which a table of a type is partitioned and sorted.
func keyName(t schema.Type) string {
	switch t {
	case schema.Items:
		return "ITEM_ID"
	case schema.Actions:
		return "ACTION_ID"
	}
	return "USER_ID"
}

// bucketsOf is the number of partitions of a new table. Items and actions are few and nobody is erased from them.
func bucketsOf(t schema.Type) int {
	switch t {
	case schema.Interactions:
		return 64
	case schema.Users, schema.ActionInteractions:
		return 16
	}
	return 1
}

// newLayout reads the layout of a table from its Iceberg schema.
func newLayout(t schema.Type, buckets int, sc *iceberg.Schema) (*layout, error) {
	l := &layout{kind: t, system: make(map[string]int), key: -1, time: -1, buckets: buckets}
	fields := slices.Clone(sc.Fields())
	slices.SortFunc(fields, func(a, b iceberg.NestedField) int { return cmp.Compare(a.ID, b.ID) })
	for _, f := range fields {
		if slices.Contains(schema.SystemColumns(), f.Name) {
			l.system[f.Name] = f.ID
			continue
		}
		kind, ok := kindOf(f.Type)
		if !ok {
			return nil, fmt.Errorf("column %s has a type that is not ours: %s", f.Name, f.Type)
		}
		switch f.Name {
		case keyName(t):
			l.key = len(l.cols)
		case "TIMESTAMP":
			if t.IsLog() {
				l.time = len(l.cols)
			}
		}
		l.cols = append(l.cols, columnInfo{name: f.Name, id: f.ID, kind: kind, required: f.Required})
	}
	if l.key < 0 || len(l.system) != len(schema.SystemColumns()) {
		return nil, fmt.Errorf("table lacks %s or a system column", keyName(t))
	}
	l.order = l.compareOrder()
	return l, nil
}

// compareOrder puts what the canonical order of events needs first, then the rest by field id, so that equal rows are neighbours in every sorted run.
func (l *layout) compareOrder() []int {
	var order []int
	for _, name := range []string{"ITEM_ID", "ACTION_ID", "EVENT_TYPE"} {
		if c := l.column(name); c >= 0 && c != l.key {
			order = append(order, c)
		}
	}
	for c := range l.cols {
		if c != l.key && c != l.time && !slices.Contains(order, c) {
			order = append(order, c)
		}
	}
	return order
}

// column returns the index of the column of that name, or -1.
func (l *layout) column(name string) int {
	return slices.IndexFunc(l.cols, func(c columnInfo) bool { return c.name == name })
}

// kinds lists the kinds of all columns.
func (l *layout) kinds() []schema.Kind {
	kinds := make([]schema.Kind, len(l.cols))
	for c, col := range l.cols {
		kinds[c] = col.kind
	}
	return kinds
}

// fields maps the fields of a schema to columns; -1 where the table has no such column yet.
func (l *layout) fields(s *schema.Schema) []int {
	m := make([]int, len(s.Fields))
	for i, f := range s.Fields {
		m[i] = l.column(f.Name)
	}
	return m
}

// icebergSchema is the schema of a new table. Field ids are assigned by Iceberg in this order.
func icebergSchema(s *schema.Schema) (*iceberg.Schema, error) {
	var fields []iceberg.NestedField
	add := func(name string, t iceberg.Type, required bool) {
		fields = append(fields, iceberg.NestedField{ID: len(fields) + 1, Name: name, Type: t, Required: required})
	}
	for _, f := range s.Fields {
		if schema.IsSystemColumn(f.Name) {
			return nil, fmt.Errorf("field name %s is reserved", f.Name)
		}
		add(f.Name, icebergType(f.Kind), f.Name == keyName(s.Type) || f.Name == "TIMESTAMP" && s.Type.IsLog())
	}
	add(sourceColumn, iceberg.PrimitiveTypes.String, false) // our files always have them; what other engines add may leave them to us
	add(seqColumn, iceberg.PrimitiveTypes.Int64, false)
	add(sessionColumn, iceberg.PrimitiveTypes.String, false)
	add(eventColumn, iceberg.PrimitiveTypes.String, false)
	return iceberg.NewSchema(0, fields...), nil
}

// icebergType maps a kind. Floats are kept in 64 bits: a filter compares with the decimal text of the CSV, which 32 bits would not reproduce.
func icebergType(k schema.Kind) iceberg.Type {
	switch k {
	case schema.Int:
		return iceberg.PrimitiveTypes.Int32
	case schema.Long:
		return iceberg.PrimitiveTypes.Int64
	case schema.Float, schema.Double:
		return iceberg.PrimitiveTypes.Float64
	case schema.Boolean:
		return iceberg.PrimitiveTypes.Bool
	}
	return iceberg.PrimitiveTypes.String
}

func kindOf(t iceberg.Type) (schema.Kind, bool) {
	switch t {
	case iceberg.PrimitiveTypes.String:
		return schema.String, true
	case iceberg.PrimitiveTypes.Int32:
		return schema.Int, true
	case iceberg.PrimitiveTypes.Int64:
		return schema.Long, true
	case iceberg.PrimitiveTypes.Float64:
		return schema.Double, true
	case iceberg.PrimitiveTypes.Bool:
		return schema.Boolean, true
	}
	return 0, false
}
