package dataset

import (
	"encoding/binary"
	"errors"
	"math"
	"unsafe"

	"github.com/palate-dev/palate/internal/rowtext"
	"github.com/palate-dev/palate/internal/schema"
	"github.com/palate-dev/palate/internal/spill"
)

// A row of an import on its way through the spill, which one process writes and reads:
//
//	uvarint  how far its sequence number is from that of the row before it in its chunk, or from the import's first
//	text     the key
//	bitmap   of the other columns that the schema has: which are not null
//	those    String: 4 bytes, 1 + code in the worker's dictionary of the column, or 0 and then the text; Int, Long, Float, Double: 8 bytes; Boolean: 1
//
// Numbers are of fixed width because decoding them is what the sort begins with; a text is a uvarint length and the bytes.

// importColumn is a column of the table, but for the key, that the schema of the import has.
type importColumn struct {
	col   int // of the layout
	field int // of the schema
	kind  schema.Kind
	codes int // which dictionary; -1: not a string
}

// importColumns lists what a row of the spill holds after its key, and counts the dictionaries. It fails if the table lacks a column of the schema.
func importColumns(l *layout, s *schema.Schema) (key int, cols []importColumn, dicts int, err error) {
	for field, col := range l.fields(s) {
		switch {
		case col < 0:
			return 0, nil, 0, errors.New("the table does not have all columns of the schema yet")
		case col == l.key:
			key = field
			continue
		}
		c := importColumn{col: col, field: field, kind: l.cols[col].kind, codes: -1}
		if c.kind == schema.String {
			c.codes = dicts
			dicts++
		}
		cols = append(cols, c)
	}
	return key, cols, dicts, nil
}

// importWorker encodes rows by bucket. It is the sink of one parser.
type importWorker struct {
	in     *importer
	id     int
	object rowtext.Object
	first  int64 // the sequence number of line 0 of the object
	offset int64 // of the object among all bytes of the import
	span   int64
	key    int
	cols   []importColumn
	codes  []*textCodes
	coded  [][rowtext.BatchRows]uint32 // by dictionary: what codes has said of the batch
	budget int
	fixed  int // weight of a row without its strings
	chunks []workerChunk
}

type workerChunk struct {
	data         []byte
	last         int64 // sequence number of the last row
	rows, weight int
}

func newImportWorker(in *importer, id, budget int) *importWorker {
	w := &importWorker{in: in, id: id, key: in.key, cols: in.cols, budget: budget, chunks: make([]workerChunk, in.layout.buckets)}
	for range in.dicts {
		w.codes = append(w.codes, newTextCodes(&w.budget))
	}
	w.coded = make([][rowtext.BatchRows]uint32, in.dicts)
	w.fixed = 3*8 + 9*len(in.layout.cols) // decoded columns, their order, and what the encoding of a row adds
	return w
}

// begin is called before the rows of each object.
func (w *importWorker) begin(o rowtext.Object, first, offset int64) {
	w.object, w.first, w.offset = o, first, offset
}

// Block is called before the rows of each block of an object: a chunk must not go over the end of a span of the input.
func (w *importWorker) Block(offset int64) error {
	span := (w.offset + offset) / w.in.t.g.e.limits.spanBytes
	if span == w.span {
		return nil
	}
	err := w.flush()
	w.span = span
	return err
}

func (w *importWorker) Rows(lines []int64, values []schema.Value) (n int, err error) {
	fields := len(w.in.schema.Fields)
	for i := range w.cols {
		if c := &w.cols[i]; c.codes >= 0 {
			w.codes[c.codes].codes(values[c.field:], fields, w.coded[c.codes][:len(lines)])
		}
	}
	most := linesOf(w.object)
	for i, line := range lines {
		if line >= most {
			return i, errors.New("object " + w.object.Name() + " is longer than its size")
		}
		if err := w.row(i, line, values[i*fields:(i+1)*fields]); err != nil {
			return i, err
		}
	}
	return len(lines), nil
}

// row encodes row i of a batch.
func (w *importWorker) row(i int, line int64, v []schema.Value) error {
	key := v[w.key].Str
	bucket := w.in.layout.bucketOf(key)
	c := &w.chunks[bucket]
	if c.data == nil {
		c.data, c.last = w.in.spill.Buffer(), w.in.run.base
	}
	seq := w.first + line
	b := appendString(appendUvarint(c.data, uint64(seq-c.last)), key)
	c.last = seq
	weight := w.fixed + 2*len(key)
	at := len(b)
	for n := len(w.cols); n > 0; n -= 8 {
		b = append(b, 0)
	}
	for bit := range w.cols {
		col := &w.cols[bit]
		x := &v[col.field]
		if !x.Valid {
			continue
		}
		b[at+bit>>3] |= 1 << (bit & 7)
		switch col.kind {
		case schema.String:
			weight += len(x.Str)
			code := w.coded[col.codes][i&(rowtext.BatchRows-1)]
			b = binary.LittleEndian.AppendUint32(b, code)
			if code == 0 {
				b = appendString(b, x.Str)
			}
		case schema.Float, schema.Double:
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x.Float))
		case schema.Boolean:
			b = append(b, byte(x.Int))
		default:
			b = binary.LittleEndian.AppendUint64(b, uint64(x.Int))
		}
	}
	c.data = b
	c.rows++
	c.weight += weight
	if len(b) < w.in.spill.ChunkSize() {
		return nil
	}
	return w.handOver(bucket)
}

func (w *importWorker) handOver(bucket int) error {
	c := w.chunks[bucket]
	w.chunks[bucket] = workerChunk{}
	return w.in.spill.Add(bucket, spill.Chunk{Data: c.data, Rows: c.rows, Weight: c.weight, Span: w.span, Worker: w.id})
}

func (w *importWorker) flush() error {
	for bucket, c := range w.chunks {
		if c.rows > 0 {
			if err := w.handOver(bucket); err != nil {
				return err
			}
		}
	}
	return nil
}

// runDecoder turns the chunks of a run into a block. It keeps its memory for the next run; a block is valid until then.
type runDecoder struct {
	in     *importer
	b      *block
	keys   *textTable
	names  []string // of keys
	texts  []*inlineTexts
	nulls  [][]bool // memory for the null flags of each column
	data   []byte   // rows that were in files
	loaded [][]byte // rows by chunk
}

// inlineTexts makes the dictionary of a column of a run in which some strings have no code of the import.
type inlineTexts struct {
	table *interner
	dict  []string
	local []uint32 // rank in the import's dictionary -> 1 + code here
}

func newRunDecoder(in *importer) *runDecoder {
	d := &runDecoder{in: in, keys: newTextTable(), texts: make([]*inlineTexts, in.dicts)}
	d.b = newBuilder(in.layout, Bulk).b
	d.nulls = make([][]bool, len(d.b.cols))
	return d
}

// decode reads a run.
func (d *runDecoder) decode(run spill.Run) (*block, error) {
	if run.Rows > math.MaxInt32 {
		return nil, errors.New("run has too many rows")
	}
	if err := d.load(run); err != nil {
		return nil, err
	}
	d.begin(run.Rows)
	at := 0
	for i, c := range run.Chunks {
		if err := d.chunk(d.loaded[i], c, at); err != nil {
			return nil, err
		}
		at += c.Rows
	}
	d.names = d.keys.strings(d.names[:0])
	d.b.cols[d.in.layout.key].dict = d.names
	for _, c := range d.in.cols {
		if c.codes >= 0 && !d.b.cols[c.col].ranked {
			d.b.cols[c.col].dict, d.b.cols[c.col].longest = d.texts[c.codes].dict, 0
		}
	}
	return d.b, nil
}

// load brings the rows of a run into memory: all of them, because strings without a code stay where they are.
func (d *runDecoder) load(run spill.Run) error {
	var err error
	d.loaded, d.data, err = d.in.spill.Load(run, d.loaded[:0], d.data)
	return err
}

// begin makes room for n rows, all values null.
func (d *runDecoder) begin(n int) {
	d.keys.reset()
	d.b.n = n
	d.b.seqs = resized(d.b.seqs, n)
	d.b.cols[d.in.layout.key].code = resized(d.b.cols[d.in.layout.key].code, n)
	for _, v := range d.b.cols {
		v.absent = true // until the columns of the import say otherwise
	}
	d.b.cols[d.in.layout.key].absent = false
	for _, c := range d.in.cols {
		v := d.b.cols[c.col]
		v.absent = false
		switch c.kind {
		case schema.String:
			v.code = resized(v.code, n)
			v.dict, v.ranked, v.longest = d.in.dictionary[c.codes], true, d.in.longest[c.codes]
		case schema.Float, schema.Double:
			v.floats, v.null = resized(v.floats, n), nil
		default:
			v.ints, v.null = resized(v.ints, n), nil
		}
	}
}

var errSpill = errors.New("read spill: a row is damaged")

// chunk decodes rows to position at and on.
func (d *runDecoder) chunk(data []byte, c *spill.Chunk, at int) error {
	seq, keys, cols := d.in.run.base, d.b.cols[d.in.layout.key].code, d.in.cols
	start, end := at, at+c.Rows
	var batch [rowtext.BatchRows]string
	for ; at < end; at++ {
		step, n := uvarint(data)
		if n <= 0 {
			return errSpill
		}
		seq += int64(step)
		d.b.seqs[at] = seq
		key, rest := cutText(data[n:])
		bitmap := (len(cols) + 7) / 8
		if rest == nil || len(rest) < bitmap {
			return errSpill
		}
		k := (at - start) % len(batch)
		if batch[k] = key; k == len(batch)-1 || at == end-1 {
			d.keys.codes(batch[:k+1], keys[at-k:at+1])
		}
		present := rest[:bitmap]
		data = rest[bitmap:]
		for i := range cols {
			col := &cols[i]
			v := d.b.cols[col.col]
			if present[i>>3]>>(i&7)&1 == 0 {
				d.setNull(v, col.col, at)
				continue
			}
			switch col.kind {
			case schema.String:
				if len(data) < 4 {
					return errSpill
				}
				code := binary.LittleEndian.Uint32(data)
				data = data[4:]
				if code > 0 && v.ranked {
					v.code[at] = code - 1 // of the worker, until the chunk is at its end
					continue
				}
				ranks := d.in.ranks[col.codes][c.Worker]
				if code > 0 {
					if int(code) > len(ranks) {
						return errSpill
					}
					v.code[at] = d.texts[col.codes].known(d.in.dictionary[col.codes], ranks[code-1])
					continue
				}
				s, rest := cutText(data)
				if rest == nil {
					return errSpill
				}
				data = rest
				if v.ranked {
					if !rankAll(v.code[start:at], ranks) {
						return errSpill
					}
					d.leaveRanks(v, col.codes, at)
				}
				v.code[at], _ = d.texts[col.codes].table.code(&d.texts[col.codes].dict, s, false)
			case schema.Float, schema.Double:
				if len(data) < 8 {
					return errSpill
				}
				v.floats[at] = math.Float64frombits(binary.LittleEndian.Uint64(data))
				data = data[8:]
			case schema.Boolean:
				if len(data) < 1 {
					return errSpill
				}
				v.ints[at] = int64(data[0])
				data = data[1:]
			default:
				if len(data) < 8 {
					return errSpill
				}
				v.ints[at] = int64(binary.LittleEndian.Uint64(data))
				data = data[8:]
			}
		}
	}
	if len(data) > 0 {
		return errSpill
	}
	for i := range cols {
		col := &cols[i]
		if v := d.b.cols[col.col]; col.codes >= 0 && v.ranked && !rankAll(v.code[start:end], d.in.ranks[col.codes][c.Worker]) {
			return errSpill
		}
	}
	return nil
}

// rankAll turns the codes of a worker into ranks. Its look-ups are far apart and do not wait for one another, as they would in the midst of decoding rows.
func rankAll(codes, ranks []uint32) bool {
	for i, code := range codes {
		if code == nullCode {
			continue
		}
		if uint64(code) >= uint64(len(ranks)) {
			return false
		}
		codes[i] = ranks[code]
	}
	return true
}

// uvarint is binary.Uvarint with the one byte that most numbers here take looked at first.
func uvarint(data []byte) (x uint64, n int) {
	if len(data) > 0 && data[0] < 0x80 {
		return uint64(data[0]), 1
	}
	return binary.Uvarint(data)
}

// cutText returns the text that data begins with and what follows, nil if data is too short.
func cutText(data []byte) (s string, rest []byte) {
	size, n := uvarint(data)
	if n <= 0 || size > uint64(len(data)-n) {
		return "", nil
	}
	return unsafe.String(unsafe.SliceData(data[n:]), int(size)), data[n+int(size):]
}

func (d *runDecoder) setNull(v *vector, col, at int) {
	switch v.kind {
	case schema.String:
		v.code[at] = nullCode
		return
	case schema.Float, schema.Double:
		v.floats[at] = 0
	default:
		v.ints[at] = 0
	}
	if v.null == nil {
		v.null = resized(d.nulls[col], d.b.n)
		clear(v.null)
		d.nulls[col] = v.null
	}
	v.null[at] = true
}

// known returns the code, in this run, of a string of the import's dictionary.
func (t *inlineTexts) known(all []string, rank uint32) uint32 {
	if t.local[rank] == 0 {
		code, _ := t.table.code(&t.dict, all[rank], false)
		t.local[rank] = code + 1
	}
	return t.local[rank] - 1
}

// leaveRanks gives a column a dictionary of the run's own, for strings that the import's dictionary lacks. The codes of the n rows so far move into it.
func (d *runDecoder) leaveRanks(v *vector, dict, n int) {
	v.ranked = false
	all, t := d.in.dictionary[dict], d.texts[dict]
	if t == nil {
		t = &inlineTexts{table: newInterner()}
		d.texts[dict] = t
	}
	t.table.reset()
	t.dict = t.dict[:0]
	t.local = resized(t.local, len(all))
	clear(t.local)
	for i, rank := range v.code[:n] {
		if rank != nullCode {
			v.code[i] = t.known(all, rank)
		}
	}
}
