package dataset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"

	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/palate-dev/palate/internal/pace"
	"github.com/palate-dev/palate/internal/schema"
)

const (
	groupRows  = 20_000   // rows of a row group: what an erasure must rewrite for one user
	groupBytes = 16 << 20 // and the text it may hold, which bounds the memory of readers
)

// fileWriter writes one data file: rows in the order of compareRows, in row groups of one dictionary or plain page a column, compressed with zstd.
// There are no statistics beyond null counts, no page index and no bloom filter: they would be places to erase. Every page has its CRC.
type fileWriter struct {
	*pageMemory
	f       *os.File
	off     int64
	layout  *layout
	source  Source
	columns []fileColumn
	groups  []format.RowGroup
	rows    int64
	sum     uint32 // CRC-32C of the footer, once the file is closed
}

// fileColumn is a column of a file: one of the layout or one of the system columns.
type fileColumn struct {
	name     string
	id       int
	kind     schema.Kind
	required bool
}

func (l *layout) fileColumns() []fileColumn {
	var cols []fileColumn
	for _, c := range l.cols {
		cols = append(cols, fileColumn(c))
	}
	return append(cols,
		fileColumn{sourceColumn, l.system[sourceColumn], schema.String, true},
		fileColumn{seqColumn, l.system[seqColumn], schema.Long, true},
		fileColumn{sessionColumn, l.system[sessionColumn], schema.String, false},
		fileColumn{eventColumn, l.system[eventColumn], schema.String, false})
}

// createFile starts a new file at path, which must not exist.
func createFile(path string, l *layout, source Source) (*fileWriter, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create data file: %w", err)
	}
	w := &fileWriter{pageMemory: borrowPageMemory(f), f: f, layout: l, source: source, columns: l.fileColumns()}
	return w, w.write([]byte("PAR1"))
}

func (w *fileWriter) write(p []byte) error {
	n, err := w.w.Write(p)
	w.off += int64(n)
	if err != nil {
		return fmt.Errorf("write data file: %w", err)
	}
	return nil
}

// writeBlock writes the rows of a block in the given order, as many row groups as they need.
func (w *fileWriter) writeBlock(b *block, order []int32) error {
	step := groupRows
	if b.longestRow()*min(step, len(order)) > groupBytes {
		if size := b.textSize(order); size > groupBytes {
			step = max(1, min(step, len(order)*groupBytes/size))
		}
	}
	for len(order) > 0 {
		n := min(step, len(order))
		if err := w.writeGroup(b, order[:n]); err != nil {
			return err
		}
		order = order[n:]
	}
	return nil
}

// longestRow bounds the length of all strings of a row.
func (b *block) longestRow() (size int) {
	for c := range b.cols {
		v := b.col(c)
		if v.kind != schema.String || v.absent {
			continue
		}
		if v.longest == 0 {
			v.longest = longestOf(v.dict)
		}
		size += v.longest
	}
	return size
}

func longestOf(texts []string) (size int) {
	for _, s := range texts {
		size = max(size, len(s))
	}
	return size
}

// textSize is the length of all strings of the rows.
func (b *block) textSize(order []int32) (size int) {
	for c := range b.cols {
		v := b.col(c)
		if v.kind != schema.String || v.absent {
			continue
		}
		for _, i := range order {
			if v.code[i] != nullCode {
				size += len(v.dict[v.code[i]])
			}
		}
	}
	return size
}

func (w *fileWriter) writeGroup(b *block, order []int32) error {
	start := w.off
	g := format.RowGroup{NumRows: int64(len(order)), FileOffset: start, Ordinal: int16(len(w.groups))}
	var columns []format.ColumnChunk
	for at, col := range w.columns {
		chunk, err := w.writeColumn(col, w.vector(b, at), order)
		if err != nil {
			return err
		}
		columns = append(columns, chunk)
		g.TotalByteSize += chunk.MetaData.TotalUncompressedSize
	}
	if b.err != nil {
		return b.err
	}
	g.Columns = columns
	g.TotalCompressedSize = w.off - start
	w.groups = append(w.groups, g)
	w.rows += g.NumRows
	return nil
}

// vector is the data of a column of the file, by the file's column order.
func (w *fileWriter) vector(b *block, at int) *vector {
	n := len(w.layout.cols)
	switch {
	case at < n:
		return b.col(at)
	case at == n:
		return &vector{kind: schema.String, dict: []string{sourceName(w.source)}, constant: true}
	case at == n+1:
		if b.n > 0 {
			b.seq(0)
		}
		return &vector{kind: schema.Long, ints: b.seqs}
	case at == n+2:
		if b.sess == nil {
			b.sess = b.fetch(sessionVector)
		}
		return b.sess
	}
	if b.event == nil {
		b.event = b.fetch(eventVector)
	}
	return b.event
}

func sourceName(s Source) string {
	if s == Put {
		return "PUT"
	}
	return "BULK"
}

// chunkWriter accumulates the metadata of one column chunk.
type chunkWriter struct {
	*fileWriter
	meta format.ColumnMetaData
}

func (w *fileWriter) writeColumn(col fileColumn, v *vector, order []int32) (format.ColumnChunk, error) {
	pace.Process.Yield()
	start := w.off
	cw := &chunkWriter{fileWriter: w}
	cw.meta = format.ColumnMetaData{
		Type: physicalType(col.kind), PathInSchema: []string{col.name}, Codec: format.Zstd, NumValues: int64(len(order)),
	}
	var nulls int
	var err error
	if encoding := encodingOf(col.kind); col.kind == schema.String {
		nulls, err = cw.writeStrings(v, order, col.required)
	} else {
		cw.meta.Encoding = []format.Encoding{encoding, format.RLE}
		w.plain = w.plain[:0]
		if !col.required {
			nulls = w.appendNulls(v, order)
		}
		w.appendNumbers(col.kind, v, order, nulls)
		err = cw.writeData(len(order), nulls, encoding)
	}
	if err != nil {
		return format.ColumnChunk{}, fmt.Errorf("write column %s: %w", col.name, err)
	}
	cw.meta.TotalCompressedSize = w.off - start
	cw.meta.Statistics.NullCount = int64(nulls)
	return format.ColumnChunk{MetaData: cw.meta}, nil
}

func physicalType(k schema.Kind) format.Type {
	switch k {
	case schema.Int:
		return format.Int32
	case schema.Long:
		return format.Int64
	case schema.Float, schema.Double:
		return format.Double
	case schema.Boolean:
		return format.Boolean
	}
	return format.ByteArray
}

func encodingOf(k schema.Kind) format.Encoding {
	switch k {
	case schema.Int, schema.Long:
		return format.DeltaBinaryPacked
	case schema.Float, schema.Double, schema.Boolean:
		return format.Plain
	}
	return format.RLEDictionary
}

// copyGroup copies a row group of another file of the same columns, byte for byte.
func (w *fileWriter) copyGroup(r *fileReader, g int) error {
	group := r.meta.RowGroups[g]
	start, end := groupExtent(&group)
	shift := w.off - start
	w.packed = resized(w.packed, int(end-start))
	buf := w.packed
	if _, err := r.f.ReadAt(buf, start); err != nil {
		return fmt.Errorf("read data file: %w", err)
	}
	if err := w.write(buf); err != nil {
		return err
	}
	columns := make([]format.ColumnChunk, len(group.Columns))
	for i, c := range group.Columns {
		c.MetaData.DataPageOffset += shift
		if c.MetaData.DictionaryPageOffset != 0 {
			c.MetaData.DictionaryPageOffset += shift
		}
		columns[i] = c
	}
	group.Columns = columns
	group.FileOffset += shift
	group.Ordinal = int16(len(w.groups))
	w.groups = append(w.groups, group)
	w.rows += group.NumRows
	return nil
}

// groupExtent is the range of bytes that the pages of a row group fill.
func groupExtent(g *format.RowGroup) (start, end int64) {
	start, end = math.MaxInt64, 0
	for _, c := range g.Columns {
		at := chunkStart(&c.MetaData)
		start, end = min(start, at), max(end, at+c.MetaData.TotalCompressedSize)
	}
	return start, end
}

func chunkStart(m *format.ColumnMetaData) int64 {
	if m.DictionaryPageOffset != 0 {
		return m.DictionaryPageOffset
	}
	return m.DataPageOffset
}

// close writes the footer and makes the file durable. The name still needs its directory synced.
func (w *fileWriter) close() (size int64, err error) {
	defer func() {
		err = errors.Join(err, w.f.Close())
		w.giveBack()
	}()
	footer, err := thrift.Marshal(new(thrift.CompactProtocol), w.footer())
	if err != nil {
		return 0, fmt.Errorf("write footer: %w", err)
	}
	w.sum = castagnoli(footer)
	footer = binary.LittleEndian.AppendUint32(footer, uint32(len(footer)))
	if err := w.write(append(footer, "PAR1"...)); err != nil {
		return 0, err
	}
	if err := w.w.Flush(); err != nil {
		return 0, fmt.Errorf("write data file: %w", err)
	}
	if err := w.f.Sync(); err != nil {
		return 0, fmt.Errorf("sync data file: %w", err)
	}
	return w.off, nil
}

func (w *fileWriter) footer() *format.FileMetaData {
	elements := []format.SchemaElement{{Name: "schema", NumChildren: thrift.New(int32(len(w.columns)))}}
	for _, c := range w.columns {
		e := format.SchemaElement{
			Name: c.name, FieldID: int32(c.id), Type: thrift.New(physicalType(c.kind)), RepetitionType: thrift.New(format.Optional),
		}
		if c.required {
			e.RepetitionType = thrift.New(format.Required)
		}
		if c.kind == schema.String {
			e.ConvertedType = thrift.New(deprecated.UTF8)
			e.LogicalType = format.LogicalType{Value: &format.StringType{}}
		}
		elements = append(elements, e)
	}
	return &format.FileMetaData{Version: 1, Schema: elements, NumRows: w.rows, RowGroups: w.groups, CreatedBy: "palate version 1"}
}

// abort closes an unfinished file; its bytes are destroyed with the staging directory.
func (w *fileWriter) abort() {
	w.f.Close()
	w.giveBack()
}
