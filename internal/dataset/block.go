package dataset

import (
	"cmp"
	"math"
	"strings"

	"github.com/palate-dev/palate/internal/schema"
)

// nullCode is the code of a null string.
const nullCode = math.MaxUint32

// vector is one column of a block. Strings are codes into a dictionary of distinct strings; numbers stand as they are, with null[i] where there are any nulls.
type vector struct {
	kind   schema.Kind
	dict   []string
	code   []uint32
	ints   []int64 // Int, Long, Boolean
	floats []float64
	null   []bool // nil: no nulls
	absent bool   // the file has no such column: every value is null
	ranked bool   // dict is sorted: codes compare as their strings do

	longest  int  // no string of dict is longer, if not 0
	constant bool // every value is dict[0]; for the writer only

	text  []byte // what dict lies in, if it was read from a file
	nulls []bool // the memory of null, when it is not in use
}

// begin empties a vector that was read from a file and keeps its memory.
func (v *vector) begin(kind schema.Kind) {
	nulls := v.nulls
	if v.null != nil {
		nulls = v.null[:0]
	}
	*v = vector{kind: kind, dict: v.dict[:0], code: v.code[:0], ints: v.ints[:0], floats: v.floats[:0], text: v.text[:0], nulls: nulls}
}

// emptied returns an empty slice with room for n elements, in the memory of s if that is large enough.
func emptied[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, 0, n)
	}
	return s[:0]
}

func (v *vector) isNull(i int) bool {
	switch {
	case v.absent:
		return true
	case v.kind == schema.String:
		return v.code[i] == nullCode
	}
	return v.null != nil && v.null[i]
}

// str returns a string, "" for null.
func (v *vector) str(i int) string {
	if v.absent || v.code[i] == nullCode {
		return ""
	}
	return v.dict[v.code[i]]
}

func (v *vector) value(i int) schema.Value {
	if v.isNull(i) {
		return schema.Value{}
	}
	switch v.kind {
	case schema.String:
		return schema.Value{Valid: true, Str: v.dict[v.code[i]]}
	case schema.Float, schema.Double:
		return schema.Value{Valid: true, Float: v.floats[i]}
	}
	return schema.Value{Valid: true, Int: v.ints[i]}
}

// compareAt compares element i of v with element j of w: nulls first.
func (v *vector) compareAt(i int, w *vector, j int) int {
	vn, wn := v.isNull(i), w.isNull(j)
	switch {
	case vn || wn:
		return boolInt(wn) - boolInt(vn)
	case v.kind == schema.String:
		if v == w && (v.ranked || v.code[i] == v.code[j]) {
			return cmp.Compare(v.code[i], v.code[j])
		}
		return strings.Compare(v.dict[v.code[i]], w.dict[w.code[j]])
	case v.kind == schema.Float || v.kind == schema.Double:
		return cmp.Compare(v.floats[i], w.floats[j])
	}
	return cmp.Compare(v.ints[i], w.ints[j])
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// block is some rows of one table from one source, column by column. A block read from a file loads a column when it is first asked for; an error while
// doing so stays in err, and the column reads as null.
type block struct {
	n      int
	source Source
	layout *layout
	cols   []*vector // by column of the layout
	seqs   []int64
	sess   *vector
	event  *vector
	load   func(b *block, c int) (*vector, error)
	csv    []csvVector // once it has been asked for
	err    error
}

// Columns of a block beyond the layout's, for load.
const (
	seqVector     = -1
	sessionVector = -2
	eventVector   = -3
)

func (b *block) col(c int) *vector {
	if b.cols[c] == nil {
		b.cols[c] = b.fetch(c)
	}
	return b.cols[c]
}

func (b *block) fetch(c int) *vector {
	v, err := b.load(b, c)
	if err != nil {
		b.err = cmp.Or(b.err, err)
		v = &vector{absent: true}
	}
	return v
}

func (b *block) seq(i int) int64 {
	if b.seqs == nil {
		v := b.fetch(seqVector)
		if b.seqs = v.ints; v.absent {
			b.seqs = make([]int64, b.n)
		}
	}
	return b.seqs[i]
}

func (b *block) session(i int) string {
	if b.sess == nil {
		b.sess = b.fetch(sessionVector)
	}
	return b.sess.str(i)
}

func (b *block) eventID(i int) string {
	if b.event == nil {
		b.event = b.fetch(eventVector)
	}
	return b.event.str(i)
}

func (b *block) key(i int) string { return b.col(b.layout.key).str(i) }

// timeOf is the timestamp of an event, 0 in tables that have none.
func (b *block) timeOf(i int) int64 {
	if b.layout.time < 0 {
		return 0
	}
	v := b.col(b.layout.time)
	if v.isNull(i) {
		return 0
	}
	return v.ints[i]
}

// compareRows is the sort order of every file: key, time, all other columns, arrival. Equal rows are neighbours, the oldest first.
func compareRows(a *block, i int, b *block, j int) int {
	if c := a.col(a.layout.key).compareAt(i, b.col(a.layout.key), j); c != 0 {
		return c
	}
	if c := cmp.Compare(a.timeOf(i), b.timeOf(j)); c != 0 {
		return c
	}
	if c := compareRest(a, i, b, j); c != 0 {
		return c
	}
	return cmp.Compare(a.seq(i), b.seq(j))
}

func compareRest(a *block, i int, b *block, j int) int {
	for _, col := range a.layout.order {
		if c := a.col(col).compareAt(i, b.col(col), j); c != 0 {
			return c
		}
	}
	return 0
}

// sameRow tells whether two rows are equal in all fields of the schema.
func sameRow(a *block, i int, b *block, j int) bool {
	return a.timeOf(i) == b.timeOf(j) && a.col(a.layout.key).compareAt(i, b.col(a.layout.key), j) == 0 && compareRest(a, i, b, j) == 0
}

// row copies row i into values (by field of a schema) and returns it as a Row. Strings are shared with the block.
func (b *block) row(i int, fields []int, values []schema.Value) Row {
	for f, c := range fields {
		values[f] = schema.Value{}
		if c >= 0 {
			values[f] = b.col(c).value(i)
		}
	}
	return Row{Values: values, Source: b.source, Seq: b.seq(i), Session: b.session(i), EventID: b.eventID(i)}
}

// builder collects rows into a block, giving each distinct string one code.
type builder struct {
	b      *block
	tables []*interner          // by column; the last two are session and event id
	bytes  int                  // text held by dictionaries, and the fixed part of rows
	shared bool                 // strings given to add stay valid for the builder's life and need no copy
	known  map[*vector][]uint32 // what addRows has met: code in a vector -> 1 + code here
}

func newBuilder(l *layout, source Source) *builder {
	b := &block{source: source, layout: l, sess: &vector{kind: schema.String}, event: &vector{kind: schema.String}, seqs: []int64{}}
	for _, c := range l.cols {
		b.cols = append(b.cols, &vector{kind: c.kind})
	}
	if source == Bulk {
		b.sess.absent, b.event.absent = true, true // imported rows have none
	}
	return &builder{b: b, tables: make([]*interner, len(l.cols)+2), known: make(map[*vector][]uint32)}
}

// freshBytes is what a new string takes beside its text.
const freshBytes = 32

// add appends a row. vals is by column of the layout and may be shorter.
func (w *builder) add(vals []schema.Value, seq int64, session, eventID string) {
	b := w.b
	for c, v := range b.cols {
		if c < len(vals) {
			w.append(v, c, vals[c])
		} else {
			w.append(v, c, schema.Value{})
		}
	}
	if n := len(b.cols); b.source == Put {
		w.append(b.sess, n, schema.Value{Valid: session != "", Str: session})
		w.append(b.event, n+1, schema.Value{Valid: eventID != "", Str: eventID})
	}
	b.seqs = append(b.seqs, seq)
	b.n++
	w.bytes += 8 * (len(b.cols) + 3)
}

func (w *builder) append(v *vector, c int, x schema.Value) {
	switch v.kind {
	case schema.String:
		code := uint32(nullCode)
		if x.Valid {
			code = w.intern(v, c, x.Str)
		}
		v.code = append(v.code, code)
		return
	case schema.Float, schema.Double:
		v.floats = append(v.floats, x.Float)
	default:
		v.ints = append(v.ints, x.Int)
	}
	if !x.Valid && v.null == nil {
		v.null = make([]bool, w.b.n, w.b.n+16)
	}
	if v.null != nil {
		v.null = append(v.null, !x.Valid)
	}
}

func (w *builder) intern(v *vector, c int, s string) uint32 {
	if w.tables[c] == nil {
		w.tables[c] = newInterner()
	}
	code, fresh := w.tables[c].code(&v.dict, s, !w.shared)
	if fresh {
		w.bytes += len(s) + freshBytes
	}
	return code
}

// addRows appends rows from to to-1 of another block of the same layout and source, as far as size, the room for text, allows; at least one. It returns where it
// ended. Strings are shared with the block.
func (w *builder) addRows(from *block, i, to, size int) (end int) {
	fixed := 8 * (len(w.b.cols) + 3)
	most := from.longestRow() + len(from.layout.cols)*freshBytes + fixed
	to = min(to, i+max(1, (size-w.bytes)/most))
	for c, v := range w.b.cols {
		w.appendFrom(v, c, from.col(c), i, to)
	}
	if n := len(w.b.cols); from.source == Put {
		from.session(i)
		from.eventID(i)
		w.appendFrom(w.b.sess, n, from.sess, i, to)
		w.appendFrom(w.b.event, n+1, from.event, i, to)
	}
	from.seq(i)
	w.b.seqs = append(w.b.seqs, from.seqs[i:to]...)
	w.b.n += to - i
	w.bytes += fixed * (to - i)
	return to
}

func (w *builder) appendFrom(v *vector, c int, from *vector, i, to int) {
	n := to - i
	switch {
	case v.kind == schema.String && from.absent:
		for range n {
			v.code = append(v.code, nullCode)
		}
		return
	case v.kind == schema.String:
		w.appendCodes(v, c, from, i, to)
		return
	case from.absent && (v.kind == schema.Float || v.kind == schema.Double):
		v.floats = append(v.floats, make([]float64, n)...)
	case from.absent:
		v.ints = append(v.ints, make([]int64, n)...)
	case v.kind == schema.Float || v.kind == schema.Double:
		v.floats = append(v.floats, from.floats[i:to]...)
	default:
		v.ints = append(v.ints, from.ints[i:to]...)
	}
	if (from.absent || from.null != nil) && v.null == nil {
		v.null = make([]bool, w.b.n, w.b.n+n)
	}
	for k := i; k < to && v.null != nil; k++ {
		v.null = append(v.null, from.isNull(k))
	}
}

// appendCodes looks a string up once for each block that has it.
func (w *builder) appendCodes(v *vector, c int, from *vector, i, to int) {
	known := w.known[from]
	if known == nil {
		known = make([]uint32, len(from.dict))
		w.known[from] = known
	}
	for _, code := range from.code[i:to] {
		if code != nullCode {
			if known[code] == 0 {
				known[code] = 1 + w.intern(v, c, from.dict[code])
			}
			code = known[code] - 1
		}
		v.code = append(v.code, code)
	}
}

// arranged returns the rows of a block in another order.
func (b *block) arranged(order []int32) *block {
	out := &block{n: len(order), source: b.source, layout: b.layout, seqs: pick(b.seqs, order), sess: b.sess.arranged(order), event: b.event.arranged(order), err: b.err}
	for _, v := range b.cols {
		out.cols = append(out.cols, v.arranged(order))
	}
	return out
}

func (v *vector) arranged(order []int32) *vector {
	out := *v
	out.code, out.ints, out.floats, out.null = pick(v.code, order), pick(v.ints, order), pick(v.floats, order), pick(v.null, order)
	return &out
}

func pick[T any](from []T, order []int32) []T {
	if len(from) == 0 {
		return nil
	}
	out := make([]T, len(order))
	for at, i := range order {
		out[at] = from[i]
	}
	return out
}
