package dataset

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"syscall"
	"unsafe"

	"github.com/apache/iceberg-go"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/palate-dev/palate/internal/rowtext"
	"github.com/palate-dev/palate/internal/schema"
)

// foreignRow is a row that another engine has written. Its strings are valid until the next row.
type foreignRow struct {
	vals    []schema.Value // by column of the layout
	source  Source
	seq     int64 // 0: it has none yet
	session string
	eventID string
}

// foreignRules are what the values of a table must be, the same as those of an import.
type foreignRules struct {
	layout  *layout
	columns []rowtext.Rule // by column of the layout
}

// schemaText is a schema as a table's property.
func schemaText(s *schema.Schema) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings, numbers and booleans only
	}
	return string(text)
}

// newForeignRules reads the rules off the schema in force. Columns that it does not have any more, and tables that remember no schema, go by their types.
func newForeignRules(l *layout, text string) *foreignRules {
	var s schema.Schema
	if json.Unmarshal([]byte(text), &s) != nil {
		s = schema.Schema{Type: l.kind}
	}
	r := &foreignRules{layout: l}
	for _, col := range l.cols {
		rule := rowtext.RuleOfKind(col.name, col.kind, !col.required)
		for i, f := range s.Fields {
			if f.Name == col.name {
				rule = rowtext.RuleOf(&s, i)
			}
		}
		r.columns = append(r.columns, rule)
	}
	return r
}

// foreignRows checks the count of a data file against its footer.
func foreignRows(path string, d iceberg.DataFile) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	pf, err := openForeign(f)
	if err != nil {
		return 0, err
	}
	if pf.NumRows() != d.Count() || d.Count() < 0 {
		return 0, refuse("a data file holds another number of rows than its manifest says")
	}
	return d.Count(), nil
}

func openForeign(f *os.File) (pf *parquet.File, err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	defer func() {
		if recover() != nil {
			err = refuse("a data file is damaged")
		}
	}()
	pf, err = parquet.OpenFile(f, info.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	return pf, damaged(err)
}

// damaged keeps errors of the disk; whatever else a decoder says is the file's fault.
func damaged(err error) error {
	var r *refusal
	if err == nil || isDisk(err) || errors.As(err, &r) || errors.Is(err, context.Canceled) {
		return err
	}
	return refuse("a data file is damaged")
}

// isDisk tells a failure of the operating system from a file that leads its reader astray.
func isDisk(err error) bool {
	var no syscall.Errno
	return errors.As(err, &no) && no != syscall.EINVAL
}

// readForeign yields the rows of a data file and returns how many there are.
func readForeign(ctx context.Context, path string, rules *foreignRules, yield func(*foreignRow) error) (n int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	pf, err := openForeign(f)
	if err != nil {
		return 0, err
	}
	ids, err := rules.fields(pf.Metadata())
	if err != nil {
		return 0, err
	}
	defer func() {
		if panicked := recover(); panicked != nil { // of a decoder on bytes that are not ours
			err = refuse("it is damaged")
		}
	}()
	row := &foreignRow{vals: make([]schema.Value, len(rules.layout.cols))}
	for _, group := range pf.RowGroups() {
		err := eachForeign(ctx, group, func(values parquet.Row) error {
			n++
			if err := rules.row(ids, values, row); err != nil {
				return err
			}
			return yield(row)
		})
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func eachForeign(ctx context.Context, group parquet.RowGroup, yield func(parquet.Row) error) error {
	rows := group.Rows()
	defer rows.Close()
	buf := make([]parquet.Row, 256)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := rows.ReadRows(buf)
		for _, r := range buf[:n] {
			if err := yield(r); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return damaged(err)
		}
	}
}

// fields maps the leaves of a file to the field ids of the table.
func (r *foreignRules) fields(meta *format.FileMetaData) (ids []int, err error) {
	if len(meta.Schema) == 0 {
		return nil, refuse("it has no schema")
	}
	seen := make(map[int]bool)
	for _, e := range meta.Schema[1:] {
		id := int(e.FieldID)
		kind, name, known := r.kindOf(id)
		switch {
		case !known:
			return nil, refuse("it has a column without the field id of a column of the table")
		case seen[id]:
			return nil, refuse("it has column %s twice", name)
		case e.NumChildren.V > 0 || e.RepetitionType.V == format.Repeated:
			return nil, refuse("column %s is nested", name)
		case !e.Type.Valid || e.Type.V != physicalType(kind):
			return nil, refuse("column %s is of another type than in the table", name)
		}
		seen[id] = true
		ids = append(ids, id)
	}
	return ids, nil
}

func (r *foreignRules) kindOf(id int) (kind schema.Kind, name string, ok bool) {
	for _, c := range r.layout.cols {
		if c.id == id {
			return c.kind, c.name, true
		}
	}
	for _, name := range schema.SystemColumns() {
		if r.layout.system[name] == id {
			if name == seqColumn {
				return schema.Long, name, true
			}
			return schema.String, name, true
		}
	}
	return 0, "", false
}

// row checks a row and converts it.
func (r *foreignRules) row(ids []int, values parquet.Row, row *foreignRow) error {
	clear(row.vals)
	row.source, row.seq, row.session, row.eventID = Bulk, 0, "", ""
	for _, v := range values {
		if v.IsNull() {
			continue
		}
		id := ids[v.Column()]
		switch id {
		case r.layout.system[seqColumn]:
			row.seq = v.Int64()
			continue
		case r.layout.system[sourceColumn]:
			switch string(v.ByteArray()) {
			case "BULK":
			case "PUT":
				row.source = Put
			default:
				return refuse("column %s holds something else than BULK or PUT", sourceColumn)
			}
			continue
		case r.layout.system[sessionColumn]:
			row.session = foreignText(v)
			continue
		case r.layout.system[eventColumn]:
			row.eventID = foreignText(v)
			continue
		}
		for c := range r.layout.cols {
			if r.layout.cols[c].id == id {
				row.vals[c] = foreignValue(r.layout.cols[c].kind, v)
			}
		}
	}
	if row.source == Bulk && (row.session != "" || row.eventID != "") {
		return refuse("a row has a session or an event id although its %s is not PUT", sourceColumn)
	}
	if !rowtext.PlainText(row.session, rowtext.MaxText) || !rowtext.PlainText(row.eventID, rowtext.MaxText) {
		return refuse("a session or event id is too long or not plain text")
	}
	for c := range row.vals {
		reason := r.columns[c].Check(&row.vals[c])
		if !row.vals[c].Valid && r.layout.cols[c].required {
			reason = "is null or empty"
		}
		if reason != "" {
			return refuse("column %s holds a value that %s", r.layout.cols[c].name, reason)
		}
	}
	return nil
}

func foreignText(v parquet.Value) string {
	b := v.ByteArray()
	return unsafe.String(unsafe.SliceData(b), len(b))
}

func foreignValue(k schema.Kind, v parquet.Value) schema.Value {
	switch k {
	case schema.String:
		text := foreignText(v)
		return schema.Value{Valid: text != "", Str: text} // an import cannot tell an empty text from null either
	case schema.Int:
		return schema.Value{Valid: true, Int: int64(v.Int32())}
	case schema.Long:
		return schema.Value{Valid: true, Int: v.Int64()}
	case schema.Boolean:
		n := int64(0)
		if v.Boolean() {
			n = 1
		}
		return schema.Value{Valid: true, Int: n}
	}
	return schema.Value{Valid: true, Float: v.Double()}
}
