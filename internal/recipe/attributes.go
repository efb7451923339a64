package recipe

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/schema"
	"github.com/palate-dev/palate/internal/userset"
)

// Data is all that there is to train on.
type Data struct {
	Events *dataset.Events
	Items  *Attributes // of the Items dataset; nil without one
	Users  *Attributes // of the Users dataset; nil without one, or if the recipe does not read it

	Actions []string        // ids of the Actions dataset, in any order, if the recipe reads it
	Acted   *dataset.Events // of the Action_Interactions dataset, whose items are actions; nil without one, or if the recipe does not read it
}

// Without is the data that would be there if the users had never been. touched tells whether any of them had been in it.
func (d Data) Without(users *userset.Set) (out Data, touched bool) {
	events, inEvents := d.Events.Without(users)
	attributes, inUsers := d.Users.without(users)
	acted, inActed := d.Acted, false
	if acted != nil {
		acted, inActed = acted.Without(users)
	}
	return Data{Events: events, Items: d.Items, Users: attributes, Actions: d.Actions, Acted: acted}, inEvents || inUsers || inActed
}

// Attributes are the rows of an Items or Users dataset as columns. Rows are sorted by id and columns by name, and every coding is by rank, so that data
// from which a row was erased equals data that never held it. A nil *Attributes has no rows.
type Attributes struct {
	IDs     []string
	Columns []Column
}

// ColumnKind says which member of a Column holds its values.
type ColumnKind uint8

const (
	Levels ColumnKind = iota // of a categorical field: any number of levels a row
	Number                   // numeric, CREATION_TIMESTAMP included
	Text                     // textual
	Title                    // the field marked itemName
)

// Column is one field of all rows.
type Column struct {
	Name string
	Kind ColumnKind

	// Levels: those of row r are Level[Cell[Start[r]:Start[r+1]]], each once and ascending. Level is sorted and has no level that does not occur.
	Level []string
	Start []int64
	Cell  []int32

	Number []float64 // Number: by row, NaN for none
	Text   []string  // Text and Title: by row, "" for none
}

// Of returns the codes of row r's levels.
func (c *Column) Of(r int) []int32 { return c.Cell[c.Start[r]:c.Start[r+1]] }

// column returns the column of that name, nil if there is none.
func (a *Attributes) column(name string) *Column {
	if a == nil {
		return nil
	}
	for i := range a.Columns {
		if schema.SameName(a.Columns[i].Name, name) {
			return &a.Columns[i]
		}
	}
	return nil
}

func (a *Attributes) ids() []string {
	if a == nil {
		return nil
	}
	return a.IDs
}

// without drops the rows of users.
func (a *Attributes) without(users *userset.Set) (out *Attributes, touched bool) {
	if a == nil {
		return nil, false
	}
	var kept []int32
	for r, id := range a.IDs {
		if !users.Has(id) {
			kept = append(kept, int32(r))
		}
	}
	if len(kept) == len(a.IDs) {
		return a, false
	}
	return a.pick(kept), true
}

// pick makes attributes of some rows, in the order given; levels that are left over are dropped.
func (a *Attributes) pick(rows []int32) *Attributes {
	out := &Attributes{IDs: make([]string, len(rows)), Columns: make([]Column, len(a.Columns))}
	for at, r := range rows {
		out.IDs[at] = a.IDs[r]
	}
	for i := range a.Columns {
		out.Columns[i] = a.Columns[i].pick(rows)
	}
	return out
}

func (c *Column) pick(rows []int32) Column {
	out := Column{Name: c.Name, Kind: c.Kind}
	switch c.Kind {
	case Levels:
		used := make([]bool, len(c.Level))
		for _, r := range rows {
			for _, l := range c.Of(int(r)) {
				used[l] = true
			}
		}
		code := make([]int32, len(c.Level))
		for l, name := range c.Level {
			if used[l] {
				code[l] = int32(len(out.Level))
				out.Level = append(out.Level, name)
			}
		}
		out.Start = make([]int64, 1, len(rows)+1)
		for _, r := range rows {
			for _, l := range c.Of(int(r)) {
				out.Cell = append(out.Cell, code[l])
			}
			out.Start = append(out.Start, int64(len(out.Cell)))
		}
	case Number:
		for _, r := range rows {
			out.Number = append(out.Number, c.Number[r])
		}
	default:
		for _, r := range rows {
			out.Text = append(out.Text, c.Text[r])
		}
	}
	return out
}

// completeText is the share of rows, in percent, that must have a text for it to be trained on.
const completeText = 85

// AttributesBuilder collects the rows of a dataset in any order.
type AttributesBuilder struct {
	key    int
	ids    []string
	fields []int  // by column: the field's index, -1 for a column that the schema has no more
	whole  []bool // by column: its numbers are integers
	cols   []Column
	codes  []map[string]int32 // by column: code of a level, in order of appearance
}

// NewAttributesBuilder reads rows of schema s. accept says which fields may be trained on; keys, booleans and strings that are neither categorical nor textual
// nor the item's name never are.
func NewAttributesBuilder(s *schema.Schema, accept func(schema.Field) bool) *AttributesBuilder {
	b := &AttributesBuilder{key: s.KeyField()}
	for i, f := range s.Fields {
		kind, ok := columnKind(f)
		if i == b.key || !ok || !accept(f) {
			continue
		}
		b.fields = append(b.fields, i)
		b.whole = append(b.whole, f.Kind == schema.Int || f.Kind == schema.Long)
		b.cols = append(b.cols, Column{Name: f.Name, Kind: kind, Start: make([]int64, 1)})
		b.codes = append(b.codes, map[string]int32{})
	}
	return b
}

// continued is a builder of rows of schema s with the columns of a, whose own rows come first; those have no ids.
func (a *Attributes) continued(s *schema.Schema, rows int) *AttributesBuilder {
	b := &AttributesBuilder{key: s.KeyField(), ids: make([]string, rows)}
	for _, c := range a.Columns {
		field, whole := -1, false
		for i, f := range s.Fields {
			if kind, ok := columnKind(f); ok && kind == c.Kind && schema.SameName(f.Name, c.Name) {
				field, whole = i, f.Kind == schema.Int || f.Kind == schema.Long
			}
		}
		c.Level, c.Start, c.Cell, c.Number, c.Text = slices.Clone(c.Level), slices.Clone(c.Start), slices.Clone(c.Cell), slices.Clone(c.Number), slices.Clone(c.Text)
		codes := make(map[string]int32, len(c.Level))
		for code, level := range c.Level {
			codes[level] = int32(code)
		}
		b.fields, b.whole, b.cols, b.codes = append(b.fields, field), append(b.whole, whole), append(b.cols, c), append(b.codes, codes)
	}
	return b
}

// joined returns all rows of a builder that continued others: first these, so many, then the new ones by id.
func (b *AttributesBuilder) joined(continued int) *Attributes {
	all := &Attributes{IDs: b.ids, Columns: b.cols}
	order := make([]int32, len(b.ids))
	for r := range order {
		order[r] = int32(r)
	}
	slices.SortFunc(order[continued:], func(x, y int32) int { return cmp.Compare(b.ids[x], b.ids[y]) })
	for i := range all.Columns {
		switch c := &all.Columns[i]; c.Kind {
		case Levels:
			c.sortLevels()
		case Text:
			for r := continued; r < len(c.Text); r++ {
				c.Text[r] = plainText(c.Text[r])
			}
		}
	}
	return all.pick(order)
}

func columnKind(f schema.Field) (ColumnKind, bool) {
	switch {
	case f.Kind.Numeric():
		return Number, true
	case f.Kind != schema.String:
		return 0, false
	case f.ItemName:
		return Title, true
	case f.Categorical:
		return Levels, true
	case f.Textual:
		return Text, true
	}
	return 0, false
}

// Add takes one row; values stand in schema order and are not kept.
func (b *AttributesBuilder) Add(values []schema.Value) {
	b.ids = append(b.ids, strings.Clone(values[b.key].Str))
	for at, i := range b.fields {
		c, v := &b.cols[at], schema.Value{}
		if 0 <= i && i < len(values) {
			v = values[i]
		}
		switch c.Kind {
		case Levels:
			b.levels(at, v)
		case Number:
			n := math.NaN()
			switch {
			case v.Valid && b.whole[at]:
				n = float64(v.Int)
			case v.Valid:
				n = v.Float
			}
			c.Number = append(c.Number, n)
		default:
			c.Text = append(c.Text, strings.Clone(v.Str))
		}
	}
}

// levels takes a categorical value: "a|b" has two levels.
func (b *AttributesBuilder) levels(at int, v schema.Value) {
	c := &b.cols[at]
	if v.Valid {
		for level := range strings.SplitSeq(v.Str, "|") {
			if level == "" {
				continue
			}
			code, ok := b.codes[at][level]
			if !ok {
				code = int32(len(c.Level))
				level = strings.Clone(level)
				b.codes[at][level] = code
				c.Level = append(c.Level, level)
			}
			c.Cell = append(c.Cell, code)
		}
	}
	c.Start = append(c.Start, int64(len(c.Cell)))
}

// Attributes returns the rows added so far. Of rows with one id, which a dataset does not have, the last counts. A text that too few rows have is left out.
func (b *AttributesBuilder) Attributes() *Attributes {
	all := &Attributes{IDs: b.ids, Columns: slices.DeleteFunc(slices.Clone(b.cols), tooFewTexts)}
	for _, c := range all.Columns {
		for r, text := range c.Text {
			c.Text[r] = plainText(text)
		}
	}
	for i := range all.Columns {
		if c := &all.Columns[i]; c.Kind == Levels {
			c.sortLevels()
		}
	}
	slices.SortFunc(all.Columns, func(a, b Column) int { return cmp.Compare(a.Name, b.Name) })
	order := make([]int32, len(b.ids))
	for r := range order {
		order[r] = int32(r)
	}
	slices.SortFunc(order, func(x, y int32) int { return cmp.Or(cmp.Compare(b.ids[x], b.ids[y]), cmp.Compare(y, x)) })
	order = slices.CompactFunc(order, func(x, y int32) bool { return b.ids[x] == b.ids[y] })
	return all.pick(order)
}

func tooFewTexts(c Column) bool {
	if c.Kind != Text {
		return false
	}
	have := 0
	for _, t := range c.Text {
		if strings.TrimSpace(t) != "" {
			have++
		}
	}
	return have*100 < completeText*len(c.Text)
}

// sortLevels makes codes ranks, and the levels of each row ascending and distinct.
func (c *Column) sortLevels() {
	order := make([]int32, len(c.Level))
	for l := range order {
		order[l] = int32(l)
	}
	slices.SortFunc(order, func(a, b int32) int { return cmp.Compare(c.Level[a], c.Level[b]) })
	level, code := make([]string, len(order)), make([]int32, len(order))
	for at, l := range order {
		level[at], code[l] = c.Level[l], int32(at)
	}
	cell, start := make([]int32, 0, len(c.Cell)), make([]int64, 1, len(c.Start))
	for r := range len(c.Start) - 1 {
		from := len(cell)
		for _, l := range c.Of(r) {
			cell = append(cell, code[l])
		}
		slices.Sort(cell[from:])
		cell = cell[:from+len(slices.Compact(cell[from:]))]
		start = append(start, int64(len(cell)))
	}
	c.Level, c.Cell, c.Start = level, cell, start
}
