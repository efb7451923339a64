package dataset

import (
	"bufio"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math"
	"math/bits"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/palate-dev/palate/internal/schema"
)

// pageMemory is what a fileWriter needs while it builds pages, and the next one can use again.
type pageMemory struct {
	w      *bufio.Writer
	enc    *zstd.Encoder
	plain  []byte // the page being built
	packed []byte // its compressed form

	ints    []int64
	int32s  []int32
	present []byte   // a bit for each row: its value is not null
	local   []uint32 // dictionary code of the block -> 1 + code in this row group; all zero between pages
	codes   []uint32 // of the block, in the order of the rows
	touched uint32   // keeps the compiler from leaving out loads
	used    []uint32 // the codes of the block that the row group has, in order of appearance
}

var pageMemories = sync.Pool{New: func() any {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	if err != nil {
		panic(err) // only an option out of its range can fail
	}
	return &pageMemory{w: bufio.NewWriterSize(nil, 1<<18), enc: enc}
}}

func borrowPageMemory(w io.Writer) *pageMemory {
	m := pageMemories.Get().(*pageMemory)
	m.w.Reset(w)
	return m
}

// giveBack lets the next file use the memory. The writer must not be used any more.
func (w *fileWriter) giveBack() {
	m := w.pageMemory
	w.pageMemory = nil
	m.w.Reset(nil)
	if cap(m.plain)+cap(m.packed) > 2*groupBytes { // grown for a giant row group
		m.plain, m.packed = nil, nil
	}
	pageMemories.Put(m)
}

// appendNulls appends the definition levels of a column of numbers to the page and returns how many values are null.
func (w *fileWriter) appendNulls(v *vector, order []int32) (nulls int) {
	switch {
	case v.absent:
		nulls = len(order)
	case v.null != nil:
		w.present = resized(w.present, (len(order)+7)/8)
		clear(w.present)
		for at, i := range order {
			if v.null[i] {
				nulls++
			} else {
				w.present[at>>3] |= 1 << (at & 7)
			}
		}
	}
	w.plain = w.appendLevels(w.plain, len(order), nulls)
	return nulls
}

// appendLevels appends definition levels: one run if all are equal, else the bits of w.present.
func (w *fileWriter) appendLevels(dst []byte, n, nulls int) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	switch nulls {
	case 0:
		dst = append(binary.AppendUvarint(dst, uint64(n)<<1), 1)
	case n:
		dst = append(binary.AppendUvarint(dst, uint64(n)<<1), 0)
	default:
		dst = append(binary.AppendUvarint(dst, uint64((n+7)/8)<<1|1), w.present...)
	}
	binary.LittleEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

// appendNumbers appends the values that are not null.
func (w *fileWriter) appendNumbers(k schema.Kind, v *vector, order []int32, nulls int) {
	if nulls == len(order) {
		order = nil
	}
	all := nulls == 0
	if k == schema.Float || k == schema.Double {
		page := w.plain // not the field: it would be stored with every value
		for _, i := range order {
			if all || !v.null[i] {
				page = binary.LittleEndian.AppendUint64(page, math.Float64bits(v.floats[i]))
			}
		}
		w.plain = page
		return
	}
	ints := resized(w.ints, len(order))
	n := 0
	for _, i := range order {
		if all || !v.null[i] {
			ints[n] = v.ints[i]
			n++
		}
	}
	w.ints = ints[:n]
	var enc delta.BinaryPackedEncoding
	var err error
	switch k {
	case schema.Long:
		w.packed, err = enc.EncodeInt64(w.packed, w.ints)
	case schema.Int:
		w.int32s = w.int32s[:0]
		for _, x := range w.ints {
			w.int32s = append(w.int32s, int32(x))
		}
		w.packed, err = enc.EncodeInt32(w.packed, w.int32s)
	case schema.Boolean:
		w.packed = resized(w.packed, (len(w.ints)+7)/8)
		clear(w.packed)
		for i, x := range w.ints {
			w.packed[i/8] |= byte(x&1) << (i % 8)
		}
	}
	if err != nil {
		panic(err) // the encoders of integers have no way to fail
	}
	w.plain = append(w.plain, w.packed...)
}

// writeStrings writes a dictionary in order of appearance, and a page of codes.
func (w *chunkWriter) writeStrings(v *vector, order []int32, required bool) (nulls int, err error) {
	nulls = w.localCodes(v, order)
	w.meta.Encoding = []format.Encoding{format.Plain, format.RLE, format.RLEDictionary}
	w.meta.DictionaryPageOffset = w.off
	size := len(w.used)
	w.plain = w.plain[:0]
	for used := w.used; len(used) > 0; {
		n := min(len(used), touchAhead)
		w.touchTexts(v.dict, used[:n])
		for _, code := range used[:n] {
			w.local[code] = 0
			s := v.dict[code]
			w.plain = append(binary.LittleEndian.AppendUint32(w.plain, uint32(len(s))), s...)
		}
		used = used[n:]
	}
	if err := w.writePage(format.PageHeader{
		Type:                 format.DictionaryPage,
		DictionaryPageHeader: thrift.New(format.DictionaryPageHeader{NumValues: int32(size), Encoding: format.Plain}),
	}); err != nil {
		return 0, err
	}
	w.plain = w.plain[:0]
	if !required {
		w.plain = w.appendLevels(w.plain, len(order), nulls)
	}
	width := bits.Len32(uint32(max(size, 1)) - 1)
	w.plain = append(w.plain, byte(width))
	if size == 1 {
		w.plain = binary.AppendUvarint(w.plain, uint64(len(order)-nulls)<<1) // one run of a code of no bits
	} else {
		enc := rle.Encoding{BitWidth: width}
		if w.packed, err = enc.EncodeInt32(w.packed[:0], w.int32s); err != nil {
			return 0, err
		}
		w.plain = append(w.plain, w.packed...)
	}
	return nulls, w.writeData(len(order), nulls, format.RLEDictionary)
}

// localCodes fills w.used, w.int32s with the row group's codes of the values that are not null, and w.present.
func (w *chunkWriter) localCodes(v *vector, order []int32) (nulls int) {
	w.used, w.int32s = w.used[:0], w.int32s[:0]
	if v.absent {
		return len(order)
	}
	if len(w.local) < len(v.dict) {
		w.local = make([]uint32, len(v.dict)+len(v.dict)/8)
	}
	if v.constant {
		w.used = append(w.used, 0)
		return 0
	}
	// The loops work on variables: a field would be loaded and stored with every value.
	present, int32s, codes := resized(w.present, (len(order)+7)/8), resized(w.int32s, len(order)), resized(w.codes, len(order))
	w.present, w.codes = present, codes
	clear(present)
	for at, i := range order {
		codes[at] = v.code[i]
	}
	used, locals, n := w.used, w.local, 0
	for at, code := range codes {
		if at%touchAhead == 0 {
			w.touchLocal(codes[at:min(at+touchAhead, len(codes))])
		}
		if code == nullCode {
			continue
		}
		present[at>>3] |= 1 << (at & 7)
		local := locals[code]
		if local == 0 {
			used = append(used, code)
			local = uint32(len(used))
			locals[code] = local
		}
		int32s[n] = int32(local - 1)
		n++
	}
	w.used, w.int32s = used, int32s[:n]
	return len(order) - n
}

// touchAhead is for how many values of a column what they need is brought into the cache together: a loop that only loads waits for many misses at once, where
// one that also branches on what it has loaded waits for each.
const touchAhead = 64

func (w *chunkWriter) touchLocal(codes []uint32) {
	sum := uint32(0)
	for _, code := range codes {
		if int(code) < len(w.local) {
			sum += w.local[code]
		}
	}
	w.touched = sum
}

func (w *chunkWriter) touchTexts(dict []string, codes []uint32) {
	sum := byte(0)
	for _, code := range codes {
		if s := dict[code]; s != "" {
			sum += s[0]
		}
	}
	w.touched = uint32(sum)
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
