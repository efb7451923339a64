package dataset

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/bits"
	"os"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

const (
	groupRows  = 20_000   // rows of a row group: what an erasure must rewrite for one user
	groupBytes = 16 << 20 // and the text it may hold, which bounds the memory of readers
)

// fileWriter writes one data file: rows in the order of compareRows, in row groups of one dictionary or plain page a column, compressed with zstd.
// There are no statistics beyond null counts, no page index and no bloom filter: they would be places to erase. Every page has its CRC.
type fileWriter struct {
	f       *os.File
	w       *bufio.Writer
	off     int64
	layout  *layout
	source  Source
	columns []fileColumn
	groups  []format.RowGroup
	rows    int64
	enc     *zstd.Encoder
	plain   []byte // the page being built
	packed  []byte // its compressed form
	ints    []int64
	int32s  []int32
	levels  []uint8
	local   []uint32 // dictionary code of the block -> 1 + code in this row group
}

// fileColumn is a column of a file: one of the layout or one of the system columns.
type fileColumn struct {
	name     string
	id       int
	kind     Kind
	required bool
}

func (l *layout) fileColumns() []fileColumn {
	var cols []fileColumn
	for _, c := range l.cols {
		cols = append(cols, fileColumn(c))
	}
	return append(cols,
		fileColumn{sourceColumn, l.system[sourceColumn], String, true},
		fileColumn{seqColumn, l.system[seqColumn], Long, true},
		fileColumn{sessionColumn, l.system[sessionColumn], String, false},
		fileColumn{eventColumn, l.system[eventColumn], String, false})
}

func newZstdEncoder() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
}

// createFile starts a new file at path, which must not exist.
func createFile(path string, l *layout, source Source) (*fileWriter, error) {
	enc, err := newZstdEncoder()
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create data file: %w", err)
	}
	w := &fileWriter{f: f, w: bufio.NewWriterSize(f, 1<<18), layout: l, source: source, columns: l.fileColumns(), enc: enc}
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
	if size := b.textSize(order); size > groupBytes {
		step = max(1, min(step, len(order)*groupBytes/size))
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

// textSize is the length of all strings of the rows.
func (b *block) textSize(order []int32) (size int) {
	for c := range b.cols {
		v := b.col(c)
		if v.kind != String || v.absent {
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
		return &vector{kind: String, dict: []string{sourceName(w.source)}, code: make([]uint32, b.n)}
	case at == n+1:
		if b.n > 0 {
			b.seq(0)
		}
		return &vector{kind: Long, ints: b.seqs}
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
	start := w.off
	cw := &chunkWriter{fileWriter: w}
	cw.meta = format.ColumnMetaData{
		Type: physicalType(col.kind), PathInSchema: []string{col.name}, Codec: format.Zstd, NumValues: int64(len(order)),
	}
	w.plain = w.plain[:0]
	nulls := 0
	if !col.required {
		nulls = w.appendLevels(v, order)
	}
	var err error
	switch encoding := encodingOf(col.kind); {
	case col.kind == String:
		err = cw.writeStrings(v, order, nulls)
	default:
		cw.meta.Encoding = []format.Encoding{encoding, format.RLE}
		if err = w.appendNumbers(col.kind, v, order); err == nil {
			err = cw.writeData(len(order), nulls, encoding)
		}
	}
	if err != nil {
		return format.ColumnChunk{}, fmt.Errorf("write column %s: %w", col.name, err)
	}
	cw.meta.TotalCompressedSize = w.off - start
	cw.meta.Statistics.NullCount = int64(nulls)
	return format.ColumnChunk{MetaData: cw.meta}, nil
}

func physicalType(k Kind) format.Type {
	switch k {
	case Int:
		return format.Int32
	case Long:
		return format.Int64
	case Float, Double:
		return format.Double
	case Boolean:
		return format.Boolean
	}
	return format.ByteArray
}

func encodingOf(k Kind) format.Encoding {
	switch k {
	case Int, Long:
		return format.DeltaBinaryPacked
	case Float, Double, Boolean:
		return format.Plain
	}
	return format.RLEDictionary
}

// appendLevels appends the definition levels to the page and returns how many values are null.
func (w *fileWriter) appendLevels(v *vector, order []int32) (nulls int) {
	w.levels = w.levels[:0]
	for _, i := range order {
		level := uint8(1)
		if v.isNull(int(i)) {
			level = 0
			nulls++
		}
		w.levels = append(w.levels, level)
	}
	at := len(w.plain)
	w.plain = append(w.plain, 0, 0, 0, 0)
	enc := rle.Encoding{BitWidth: 1}
	packed, err := enc.EncodeLevels(nil, w.levels)
	if err != nil {
		panic(err) // only a wrong bit width can fail
	}
	w.plain = append(w.plain, packed...)
	binary.LittleEndian.PutUint32(w.plain[at:], uint32(len(packed)))
	return nulls
}

func (w *fileWriter) appendNumbers(k Kind, v *vector, order []int32) error {
	if k == Float || k == Double {
		for _, i := range order {
			if !v.isNull(int(i)) {
				w.plain = binary.LittleEndian.AppendUint64(w.plain, math.Float64bits(v.floats[i]))
			}
		}
		return nil
	}
	w.ints = w.ints[:0]
	for _, i := range order {
		if !v.isNull(int(i)) {
			w.ints = append(w.ints, v.ints[i])
		}
	}
	var enc delta.BinaryPackedEncoding
	var page []byte
	var err error
	switch k {
	case Long:
		page, err = enc.EncodeInt64(nil, w.ints)
	case Int:
		w.int32s = w.int32s[:0]
		for _, x := range w.ints {
			w.int32s = append(w.int32s, int32(x))
		}
		page, err = enc.EncodeInt32(nil, w.int32s)
	case Boolean:
		page = make([]byte, (len(w.ints)+7)/8)
		for i, x := range w.ints {
			page[i/8] |= byte(x&1) << (i % 8)
		}
	}
	w.plain = append(w.plain, page...)
	return err
}

// writeStrings writes a dictionary in order of appearance, and the codes. The page under construction already holds the levels.
func (w *chunkWriter) writeStrings(v *vector, order []int32, nulls int) error {
	levels := append([]byte(nil), w.plain...)
	w.plain = w.plain[:0]
	w.int32s = w.int32s[:0]
	if cap(w.local) < len(v.dict) {
		w.local = make([]uint32, len(v.dict))
	}
	local := w.local[:len(v.dict)]
	clear(local)
	size := uint32(0)
	for _, i := range order {
		if v.isNull(int(i)) {
			continue
		}
		code := v.code[i]
		if local[code] == 0 {
			size++
			local[code] = size
			w.plain = binary.LittleEndian.AppendUint32(w.plain, uint32(len(v.dict[code])))
			w.plain = append(w.plain, v.dict[code]...)
		}
		w.int32s = append(w.int32s, int32(local[code]-1))
	}
	w.meta.Encoding = []format.Encoding{format.Plain, format.RLE, format.RLEDictionary}
	w.meta.DictionaryPageOffset = w.off
	if err := w.writePage(format.PageHeader{
		Type:                 format.DictionaryPage,
		DictionaryPageHeader: thrift.New(format.DictionaryPageHeader{NumValues: int32(size), Encoding: format.Plain}),
	}); err != nil {
		return err
	}
	width := bits.Len32(max(size, 1) - 1)
	enc := rle.Encoding{BitWidth: width}
	codes, err := enc.EncodeInt32(nil, w.int32s)
	if err != nil {
		return err
	}
	w.plain = append(append(append(w.plain[:0], levels...), byte(width)), codes...)
	return w.writeData(len(order), nulls, format.RLEDictionary)
}

func (w *chunkWriter) writeData(values, nulls int, encoding format.Encoding) error {
	w.meta.DataPageOffset = w.off
	return w.writePage(format.PageHeader{
		Type: format.DataPage,
		DataPageHeader: thrift.New(format.DataPageHeader{
			NumValues: int32(values), Encoding: encoding, DefinitionLevelEncoding: format.RLE, RepetitionLevelEncoding: format.RLE,
			Statistics: format.Statistics{NullCount: int64(nulls)},
		}),
	})
}

// writePage compresses and writes what stands in plain.
func (w *chunkWriter) writePage(h format.PageHeader) error {
	if len(w.plain) > math.MaxInt32 {
		return errors.New("page larger than 2 GiB")
	}
	w.packed = w.enc.EncodeAll(w.plain, w.packed[:0])
	h.UncompressedPageSize = int32(len(w.plain))
	h.CompressedPageSize = int32(len(w.packed))
	h.CRC = int32(crc32.ChecksumIEEE(w.packed))
	head, err := thrift.Marshal(new(thrift.CompactProtocol), &h)
	if err != nil {
		return err
	}
	w.meta.TotalUncompressedSize += int64(len(head) + len(w.plain))
	if err := w.write(head); err != nil {
		return err
	}
	return w.write(w.packed)
}

// copyGroup copies a row group of another file of the same columns, byte for byte.
func (w *fileWriter) copyGroup(r *fileReader, g int) error {
	group := r.meta.RowGroups[g]
	start, end := groupExtent(&group)
	shift := w.off - start
	buf := make([]byte, end-start)
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
	defer func() { err = errors.Join(err, w.f.Close()) }()
	footer, err := thrift.Marshal(new(thrift.CompactProtocol), w.footer())
	if err != nil {
		return 0, fmt.Errorf("write footer: %w", err)
	}
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
	schema := []format.SchemaElement{{Name: "schema", NumChildren: thrift.New(int32(len(w.columns)))}}
	for _, c := range w.columns {
		e := format.SchemaElement{
			Name: c.name, FieldID: int32(c.id), Type: thrift.New(physicalType(c.kind)), RepetitionType: thrift.New(format.Optional),
		}
		if c.required {
			e.RepetitionType = thrift.New(format.Required)
		}
		if c.kind == String {
			e.ConvertedType = thrift.New(deprecated.UTF8)
			e.LogicalType = format.LogicalType{Value: &format.StringType{}}
		}
		schema = append(schema, e)
	}
	return &format.FileMetaData{Version: 1, Schema: schema, NumRows: w.rows, RowGroups: w.groups, CreatedBy: "palate"}
}

// abort closes an unfinished file; its bytes are destroyed with the staging directory.
func (w *fileWriter) abort() { w.f.Close() }
