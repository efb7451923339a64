package dataset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"slices"
	"sync"
	"unsafe"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/palate-dev/palate/internal/schema"
)

// fileReader reads the data files that fileWriter writes.
type fileReader struct {
	f      dataBytes
	name   string
	meta   format.FileMetaData
	layout *layout
	source Source
	chunk  map[int]int // field id -> column of the file
	*pageDecoder
}

// pageDecoder decodes pages, one at a time.
type pageDecoder struct {
	dec    *zstd.Decoder
	packed []byte  // the compressed pages of the column that is being read
	plain  []byte  // the data page that is being decoded
	levels []uint8 // and which of its values are there
}

// dataBytes is where the bytes of a data file are.
type dataBytes interface {
	io.ReaderAt
	io.Closer
}

// pageDecoders go from file to file: a small file costs less than a new one.
var pageDecoders sync.Pool

func openFile(path string, l *layout, source Source) (*fileReader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open data file: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open data file: %w", err), f.Close())
	}
	r, err := newFileReader(f, path, info.Size(), l, source)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open data file %s: %w", path, err), f.Close())
	}
	return r, nil
}

func newFileReader(f dataBytes, name string, size int64, l *layout, source Source) (_ *fileReader, err error) {
	r := &fileReader{f: f, name: name, layout: l, source: source, chunk: make(map[int]int)}
	if err := r.readFooter(size); err != nil {
		return nil, err
	}
	for i, e := range r.meta.Schema[1:] {
		r.chunk[int(e.FieldID)] = i
	}
	if d, ok := pageDecoders.Get().(*pageDecoder); ok {
		r.pageDecoder = d
		return r, nil
	}
	r.pageDecoder = new(pageDecoder)
	r.dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true)) // a page is as long as its header says
	return r, err
}

func (r *fileReader) readFooter(fileSize int64) error {
	if fileSize < 12 {
		return errors.New("too short")
	}
	var tail [8]byte
	if _, err := r.f.ReadAt(tail[:], fileSize-8); err != nil {
		return err
	}
	size := int64(binary.LittleEndian.Uint32(tail[:]))
	if string(tail[4:]) != "PAR1" || size > fileSize-12 {
		return errors.New("damaged footer")
	}
	footer := make([]byte, size)
	if _, err := r.f.ReadAt(footer, fileSize-8-size); err != nil {
		return err
	}
	if sum, ok := footerSum(r.name); ok && sum != castagnoli(footer) {
		return errors.New("damaged footer: its checksum does not match the file's name")
	}
	if err := thrift.Unmarshal(new(thrift.CompactProtocol), footer, &r.meta); err != nil {
		return fmt.Errorf("damaged footer: %w", err)
	}
	return r.checkExtents(fileSize - 8 - size)
}

// mostGroupRows is more rows than any version writes into a row group: a footer that says otherwise would cost memory for rows that are not there.
const mostGroupRows = 1 << 16

// checkExtents makes sure that a footer, which may be without a checksum, leads to pages of the file only; end is where they end.
func (r *fileReader) checkExtents(end int64) error {
	if len(r.meta.Schema) == 0 {
		return errors.New("damaged footer: no schema")
	}
	for _, g := range r.meta.RowGroups {
		if g.NumRows < 0 || g.NumRows > mostGroupRows || len(g.Columns) != len(r.meta.Schema)-1 {
			return errors.New("damaged footer: row group")
		}
		for _, c := range g.Columns {
			if at, size := chunkStart(&c.MetaData), c.MetaData.TotalCompressedSize; at < 4 || at > end || size < 0 || size > end-at {
				return errors.New("damaged footer: pages outside of the file")
			}
		}
	}
	return nil
}

func (r *fileReader) close() error {
	pageDecoders.Put(r.pageDecoder)
	return r.f.Close()
}

// groups is the number of row groups.
func (r *fileReader) groups() int { return len(r.meta.RowGroups) }

// current tells whether the file has exactly the columns of the layout, in its order, so that its row groups can be copied into a new file.
func (r *fileReader) current() bool {
	cols := r.layout.fileColumns()
	if len(cols) != len(r.meta.Schema)-1 {
		return false
	}
	for i, c := range cols {
		if int(r.meta.Schema[i+1].FieldID) != c.id {
			return false
		}
	}
	return true
}

// group returns the block of a row group, which loads its columns when they are asked for.
func (r *fileReader) group(g int) *block {
	return &block{
		n: int(r.meta.RowGroups[g].NumRows), source: r.source, layout: r.layout, cols: make([]*vector, len(r.layout.cols)),
		load: func(b *block, c int) (*vector, error) { return r.read(g, c) },
	}
}

func (r *fileReader) read(g, c int) (*vector, error) {
	v := new(vector)
	return v, r.readInto(v, g, c)
}

// readInto reads a column of a row group into a vector, whose memory it uses again: what stood there is gone.
func (r *fileReader) readInto(v *vector, g, c int) error {
	id, kind := 0, schema.String
	switch c {
	case seqVector:
		id, kind = r.layout.system[seqColumn], schema.Long
	case sessionVector:
		id = r.layout.system[sessionColumn]
	case eventVector:
		id = r.layout.system[eventColumn]
	default:
		id, kind = r.layout.cols[c].id, r.layout.cols[c].kind
	}
	v.begin(kind)
	at, ok := r.chunk[id]
	if !ok {
		v.absent = true
		return nil
	}
	if err := r.readChunk(v, g, at); err != nil {
		return fmt.Errorf("read %s, row group %d, column %d: %w", r.name, g, at, err)
	}
	return nil
}

// keys returns the dictionary of the key column of a row group: who is in it.
func (r *fileReader) keys(g int) ([]string, error) {
	at := r.chunk[r.layout.cols[r.layout.key].id]
	pages, err := r.pages(g, at)
	if err != nil {
		return nil, err
	}
	h, data, _, err := r.page(pages, nil)
	if err != nil {
		return nil, fmt.Errorf("read %s, row group %d: %w", r.name, g, err)
	}
	if h.Type != format.DictionaryPage {
		return nil, fmt.Errorf("read %s, row group %d: no dictionary of keys", r.name, g)
	}
	return decodeDictionary(nil, data, int(h.DictionaryPageHeader.V.NumValues))
}

// pages returns the compressed pages of a column, valid until the next call.
func (r *fileReader) pages(g, at int) ([]byte, error) {
	m := &r.meta.RowGroups[g].Columns[at].MetaData
	r.packed = slices.Grow(r.packed[:0], int(m.TotalCompressedSize))[:m.TotalCompressedSize]
	if _, err := r.f.ReadAt(r.packed, chunkStart(m)); err != nil {
		return nil, fmt.Errorf("read %s: %w", r.name, err)
	}
	return r.packed, nil
}

// page decodes the first page of buf and returns what follows it. The data of a dictionary is in the memory of text if that is large enough, that of another
// page is valid until the next one.
func (r *pageDecoder) page(buf, text []byte) (h format.PageHeader, data, rest []byte, err error) {
	in := new(thrift.CompactProtocol).NewReaderFromBytes(buf)
	if err := thrift.NewDecoder(in).Decode(&h); err != nil {
		return h, nil, nil, fmt.Errorf("page header: %w", err)
	}
	buf = buf[in.BytesRead():]
	if h.CompressedPageSize < 0 || int(h.CompressedPageSize) > len(buf) || h.UncompressedPageSize < 0 {
		return h, nil, nil, errors.New("page runs over its column")
	}
	packed := buf[:h.CompressedPageSize]
	if h.CRC != 0 && crc32.ChecksumIEEE(packed) != uint32(h.CRC) {
		return h, nil, nil, errors.New("page checksum does not match")
	}
	if int64(h.UncompressedPageSize) > mostUnpacked(len(packed)) {
		return h, nil, nil, errors.New("page is larger than its compressed form can be")
	}
	const padding = 64 // lets the bit unpacker read in place
	if h.Type == format.DictionaryPage {
		data, err = r.dec.DecodeAll(packed, emptied(text, int(h.UncompressedPageSize)+padding))
		return h, data, buf[h.CompressedPageSize:], err
	}
	r.plain = emptied(r.plain, int(h.UncompressedPageSize)+padding)
	data, err = r.dec.DecodeAll(packed, r.plain)
	r.plain = data[:0]
	return h, data, buf[h.CompressedPageSize:], err
}

// mostUnpacked is how much a zstd frame of so many bytes can hold: a block takes 4 bytes and makes at most 128 KiB.
func mostUnpacked(packed int) int64 { return int64(packed/4+1) << 17 }

// readChunk reads a column of the file into an empty vector.
func (r *fileReader) readChunk(v *vector, g, at int) error {
	buf, err := r.pages(g, at)
	if err != nil {
		return err
	}
	required := r.meta.Schema[at+1].RepetitionType.V == format.Required
	rows := int(r.meta.RowGroups[g].NumRows)
	for len(buf) > 0 {
		h, data, rest, err := r.page(buf, v.text)
		if err != nil {
			return err
		}
		buf = rest
		switch h.Type {
		case format.DictionaryPage:
			v.text = data
			v.dict, err = decodeDictionary(v.dict, data, int(h.DictionaryPageHeader.V.NumValues))
		case format.DataPage:
			if n := int(h.DataPageHeader.V.NumValues); n < 0 || n > rows {
				return errors.New("page with more values than rows")
			}
			err = r.decode(v, &h.DataPageHeader.V, data, required)
		default:
			err = fmt.Errorf("unknown page type %s", h.Type)
		}
		if err != nil {
			return err
		}
	}
	if max(len(v.code), len(v.ints), len(v.floats)) != rows {
		return errors.New("wrong number of values")
	}
	return nil
}

// decodeDictionary slices the strings out of a page, which they keep alive, into dict, whose memory it uses again.
func decodeDictionary(dict []string, data []byte, n int) ([]string, error) {
	if n < 0 || n > len(data)/4 {
		return nil, errors.New("damaged dictionary")
	}
	text := textOf(data)
	dict = emptied(dict, n)[:n]
	at := 0
	for i := range dict {
		if at+4 > len(data) {
			return nil, errors.New("damaged dictionary")
		}
		size := int(binary.LittleEndian.Uint32(data[at:]))
		at += 4
		if size > len(data)-at {
			return nil, errors.New("damaged dictionary")
		}
		dict[i] = text[at : at+size]
		at += size
	}
	return dict, nil
}

// textOf is b as a string, which shares its bytes: they must not change any more.
func textOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// decode appends the values of one data page.
func (r *pageDecoder) decode(v *vector, h *format.DataPageHeader, data []byte, required bool) error {
	n := int(h.NumValues)
	present := n
	var levels []uint8
	if !required {
		if len(data) < 4 {
			return errors.New("page too short")
		}
		size := int(binary.LittleEndian.Uint32(data))
		if size > len(data)-4 {
			return errors.New("damaged levels")
		}
		if !holdsRuns(data[4:4+size], 1, n) {
			return errors.New("damaged levels")
		}
		enc := rle.Encoding{BitWidth: 1}
		all, err := enc.DecodeLevels(r.levels[:0], data[4:4+size])
		if err != nil || len(all) < n {
			return errors.Join(errors.New("damaged levels"), err)
		}
		r.levels = all
		levels, data = all[:n], data[4+size:]
		present = 0
		for _, l := range levels {
			present += int(l)
		}
	}
	if present == n {
		levels = nil
	}
	switch h.Encoding {
	case format.RLEDictionary:
		return v.decodeCodes(data, n, present, levels)
	case format.DeltaBinaryPacked, format.Plain:
		return v.decodeNumbers(h.Encoding, data, n, present, levels)
	}
	return fmt.Errorf("unknown encoding %s", h.Encoding)
}

// holdsRuns tells whether data is runs of at most n values, but for what fills up the last bit-packed one. The decoder trusts that: it makes room for whatever
// they say, and goes beyond the data's end for it.
func holdsRuns(data []byte, width, n int) bool {
	for len(data) > 0 {
		head, size := binary.Uvarint(data)
		if size <= 0 || n < 0 || head>>1 == 0 {
			return false
		}
		count, bytes := head>>1, (width+7)/8
		if head&1 == 1 { // bit-packed, in groups of eight
			if count > uint64(len(data)) && width > 0 || count > uint64(n+7)/8 {
				return false
			}
			count, bytes = 8*count, width*int(count)
		}
		if count > uint64(n+7) || bytes > len(data)-size {
			return false
		}
		if head&1 == 0 && bytes > 0 && data[size+bytes-1]>>(width-8*(bytes-1)) != 0 { // a value of more bits
			return false
		}
		n -= int(count)
		data = data[size+bytes:]
	}
	return true
}

func (v *vector) decodeCodes(data []byte, n, present int, levels []uint8) error {
	straight := levels == nil && len(v.code) == 0
	var codes []int32
	if present > 0 {
		if len(data) == 0 {
			return errors.New("page too short")
		}
		width := int(data[0])
		if width > 32 || !holdsRuns(data[1:], width, present) {
			return errors.New("damaged codes")
		}
		enc := rle.Encoding{BitWidth: width}
		var into []int32
		if straight {
			v.code = emptied(v.code, present+8)
			into = unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(v.code))), cap(v.code))[:0] // the same bits
		} else {
			into = make([]int32, 0, present+8)
		}
		var err error
		codes, err = enc.DecodeInt32(into, data[1:])
		if err != nil || len(codes) < present {
			return errors.Join(errors.New("damaged codes"), err)
		}
	}
	codes = codes[:present]
	for _, c := range codes {
		if uint32(c) >= uint32(len(v.dict)) {
			return errors.New("code outside of the dictionary")
		}
	}
	if straight {
		v.code = unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(codes))), cap(codes))[:len(codes)]
		return nil
	}
	next := 0
	v.code = slices.Grow(v.code, n)
	for i := range n {
		c := uint32(nullCode)
		if levels == nil || levels[i] != 0 {
			c = uint32(codes[next])
			next++
		}
		v.code = append(v.code, c)
	}
	return nil
}

func (v *vector) decodeNumbers(encoding format.Encoding, data []byte, n, present int, levels []uint8) error {
	if levels != nil && v.null == nil {
		v.null = emptied(v.nulls, n)
		for range max(len(v.ints), len(v.floats)) {
			v.null = append(v.null, false)
		}
	}
	if v.null != nil {
		for i := range n {
			v.null = append(v.null, levels != nil && levels[i] == 0)
		}
	}
	if v.kind == schema.Float || v.kind == schema.Double {
		if len(data) < 8*present {
			return errors.New("page too short")
		}
		at := 0
		v.floats = slices.Grow(v.floats, n)
		for i := range n {
			if levels != nil && levels[i] == 0 {
				v.floats = append(v.floats, 0)
				continue
			}
			v.floats = append(v.floats, math.Float64frombits(binary.LittleEndian.Uint64(data[at:])))
			at += 8
		}
		return nil
	}
	if levels == nil && len(v.ints) == 0 {
		values, err := decodeInts(emptied(v.ints, present), v.kind, encoding, data, present)
		v.ints = values
		return err
	}
	values, err := decodeInts(nil, v.kind, encoding, data, present)
	if err != nil {
		return err
	}
	if levels == nil {
		v.ints = append(v.ints, values...)
		return nil
	}
	next := 0
	for i := range n {
		if levels[i] == 0 {
			v.ints = append(v.ints, 0)
			continue
		}
		v.ints = append(v.ints, values[next])
		next++
	}
	return nil
}

// decodeInts decodes n integers into dst, which is empty, if it has room for them.
func decodeInts(dst []int64, kind schema.Kind, encoding format.Encoding, data []byte, n int) ([]int64, error) {
	dst = emptied(dst, n)
	if n == 0 {
		return dst, nil
	}
	var enc delta.BinaryPackedEncoding
	if encoding == format.DeltaBinaryPacked && !holdsDeltas(data, n, bitsOf(kind)) {
		return nil, errors.New("damaged integers")
	}
	switch {
	case kind == schema.Boolean && encoding == format.Plain:
		if len(data) < (n+7)/8 {
			return nil, errors.New("page too short")
		}
		out := dst[:n]
		for i := range out {
			out[i] = int64(data[i/8] >> (i % 8) & 1)
		}
		return out, nil
	case kind == schema.Long && encoding == format.DeltaBinaryPacked:
		out, err := enc.DecodeInt64(dst, data)
		if err != nil || len(out) < n {
			return nil, errors.Join(errors.New("damaged integers"), err)
		}
		return out[:n], nil
	case kind == schema.Int && encoding == format.DeltaBinaryPacked:
		narrow, err := enc.DecodeInt32(make([]int32, 0, n), data)
		if err != nil || len(narrow) < n {
			return nil, errors.Join(errors.New("damaged integers"), err)
		}
		out := dst[:n]
		for i := range out {
			out[i] = int64(narrow[i])
		}
		return out, nil
	}
	return nil, fmt.Errorf("unknown encoding %s", encoding)
}

func bitsOf(k schema.Kind) int {
	if k == schema.Int {
		return 32
	}
	return 64
}

// holdsDeltas tells whether data is n delta-encoded integers, whose differences have at most so many bits. The decoder trusts that, as it does for runs.
func holdsDeltas(data []byte, n, bits int) bool {
	ok := true
	next := func() uint64 {
		x, size := binary.Uvarint(data)
		if size <= 0 {
			ok, data = false, nil
			return 0
		}
		data = data[size:]
		return x
	}
	block, parts, count := next(), next(), next()
	next() // the first value
	if !ok || count != uint64(n) || block == 0 || block > 1<<16 || parts == 0 || parts > block || block%(32*parts) != 0 {
		return false
	}
	for left, each := n-1, int(block/parts); left > 0; {
		end := 0 // of the smallest difference of the block
		for end < len(data) && data[end] >= 0x80 {
			end++
		}
		if uint64(len(data)-end) <= parts {
			return false
		}
		widths, sum := data[end+1:][:parts], 0
		for _, width := range widths {
			if left <= 0 {
				break
			}
			if int(width) > bits {
				return false
			}
			sum += int(width)
			left -= each
		}
		at := end + 1 + len(widths) + sum*each/8
		if at > len(data) {
			return false
		}
		data = data[at:]
	}
	return true
}
