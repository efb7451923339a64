package dataset

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"os"
	"reflect"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/palate-dev/palate/internal/hostile"
	"github.com/palate-dev/palate/internal/schema"
)

// dataFileBytes is a small data file as the engine writes it.
func dataFileBytes(t testing.TB, l *layout) []byte {
	t.Helper()
	var rows []Row
	fields := make([]int, len(l.cols))
	for c := range fields {
		fields[c] = c
	}
	for i := range 20 {
		v := make([]schema.Value, len(l.cols))
		for c, col := range l.cols {
			switch {
			case col.kind == schema.String:
				v[c] = str(string(rune('a' + i)))
			case i%3 > 0 || c < 3:
				v[c] = schema.Value{Valid: true, Int: int64(i % 2), Float: float64(i)}
			}
		}
		rows = append(rows, Row{Values: v})
	}
	text, err := encodePut("t", l, fields, rows)
	if err != nil {
		t.Fatal(err)
	}
	var m memory
	m.add(memPut{first: 1, rows: len(rows), text: string(text)})
	files, err := writeMemory(t.TempDir(), l, m)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(files[0].path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// inMemory is a data file that is not on a disk.
type inMemory struct{ *bytes.Reader }

func (inMemory) Close() error { return nil }

// FuzzDataFile holds that whatever stands in a data file, its reader ends with an error, or with the values that parquet-go finds in it.
func FuzzDataFile(f *testing.F) {
	l := testLayout(f, &schema.Schema{Type: schema.Interactions, Fields: []schema.Field{ // small files are quick, and a column of each form will do
		{Name: "USER_ID"}, {Name: "ITEM_ID"}, {Name: "TIMESTAMP", Kind: schema.Long}, {Name: "SCORE", Kind: schema.Double, Nullable: true}, {Name: "OK", Kind: schema.Boolean, Nullable: true},
	}})
	whole := dataFileBytes(f, l)
	f.Add(whole)
	f.Add(withoutChecksums(f, whole, l))
	f.Add(whole[:len(whole)/2])
	f.Add(whole[len(whole)/2:])
	f.Add([]byte("PAR1\x00\x00\x00\x00PAR1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var columns [][]schema.Value
		var err error
		hostile.Bound(t, len(data), func() { columns, err = columnsOf(inMemory{bytes.NewReader(data)}, "f.parquet", int64(len(data)), l) })
		if err != nil {
			return
		}
		if want, ok := plainColumns(data, l); ok {
			if diff := gocmp.Diff(want, columns, cmpopts.EquateNaNs()); diff != "" {
				t.Fatalf("(-parquet-go +ours)\n%s", diff)
			}
		}
	})
}

// columnsOf decodes all columns of a file.
func columnsOf(f dataBytes, name string, size int64, l *layout) (columns [][]schema.Value, err error) {
	r, err := newFileReader(f, name, size, l, Put)
	if err != nil {
		return nil, err
	}
	defer r.close()
	columns = make([][]schema.Value, len(l.cols))
	for g := range r.groups() {
		for c := range l.cols {
			v, err := r.read(g, c)
			if err != nil {
				return nil, err
			}
			for i := range int(r.meta.RowGroups[g].NumRows) {
				columns[c] = append(columns[c], v.value(i))
			}
		}
	}
	return columns, nil
}

// plainColumns are the columns of a file as parquet-go reads them. It is not ok if parquet-go cannot, or the file has other columns than the layout.
func plainColumns(data []byte, l *layout) (columns [][]schema.Value, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, false
	}
	columns = make([][]schema.Value, len(l.cols))
	at := make(map[int]int)
	for i, c := range f.Root().Columns() {
		for j := range l.cols {
			if c.Leaf() && l.cols[j].id == c.ID() && c.Type().Kind() == map[schema.Kind]parquet.Kind{schema.String: parquet.ByteArray, schema.Int: parquet.Int32, schema.Long: parquet.Int64, schema.Float: parquet.Double, schema.Double: parquet.Double, schema.Boolean: parquet.Boolean}[l.cols[j].kind] {
				at[i] = j
			}
		}
	}
	if len(at) != len(l.cols) {
		return nil, false
	}
	for _, g := range f.RowGroups() {
		rows := g.Rows()
		defer rows.Close()
		buf := make([]parquet.Row, 16)
		for {
			n, err := rows.ReadRows(buf)
			for _, row := range buf[:n] {
				for _, v := range row {
					if j, ok := at[v.Column()]; ok {
						columns[j] = append(columns[j], plainValue(v))
					}
				}
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				return nil, false
			}
		}
	}
	return columns, true
}

func plainValue(v parquet.Value) schema.Value {
	switch {
	case v.IsNull():
		return schema.Value{}
	case v.Kind() == parquet.ByteArray:
		return schema.Value{Valid: true, Str: string(v.ByteArray())}
	case v.Kind() == parquet.Double:
		return schema.Value{Valid: true, Float: v.Double()}
	case v.Kind() == parquet.Int32:
		return schema.Value{Valid: true, Int: int64(v.Int32())}
	case v.Kind() == parquet.Boolean:
		return schema.Value{Valid: true, Int: int64(boolInt(v.Boolean()))}
	}
	return schema.Value{Valid: true, Int: v.Int64()}
}

// withoutChecksums is a data file with pages of zstd's raw blocks and without any checksum: what is changed in it is read.
func withoutChecksums(t testing.TB, data []byte, l *layout) []byte {
	t.Helper()
	r, err := newFileReader(inMemory{bytes.NewReader(data)}, "f.parquet", int64(len(data)), l, Put)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	out := []byte("PAR1")
	for g := range r.meta.RowGroups {
		for c := range r.meta.RowGroups[g].Columns {
			m := &r.meta.RowGroups[g].Columns[c].MetaData
			buf, err := r.pages(g, c)
			if err != nil {
				t.Fatal(err)
			}
			start := len(out)
			for buf = bytes.Clone(buf); len(buf) > 0; {
				h, page, rest, err := r.page(buf, nil)
				if err != nil {
					t.Fatal(err)
				}
				packed := rawFrame(page)
				h.CRC, h.CompressedPageSize = 0, int32(len(packed))
				head, err := thrift.Marshal(new(thrift.CompactProtocol), &h)
				if err != nil {
					t.Fatal(err)
				}
				if h.Type == format.DictionaryPage {
					m.DictionaryPageOffset = int64(len(out))
				} else {
					m.DataPageOffset = int64(len(out))
				}
				out = append(append(out, head...), packed...)
				buf = rest
			}
			m.TotalCompressedSize = int64(len(out) - start)
		}
	}
	footer, err := thrift.Marshal(new(thrift.CompactProtocol), &r.meta)
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.LittleEndian.AppendUint32(append(out, footer...), uint32(len(footer))), "PAR1"...)
}

// rawFrame is a zstd frame of one raw block, without a checksum.
func rawFrame(data []byte) []byte {
	out := binary.LittleEndian.AppendUint32([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xa0}, uint32(len(data))) // one segment, its size in four bytes
	head := uint32(len(data))<<3 | 1                                                                 // raw, the last
	return append(append(out, byte(head), byte(head>>8), byte(head>>16)), data...)
}

// FuzzPage holds that whatever stands in a page, its decoder ends with an error, or with the values that plain decoders of the encodings read.
func FuzzPage(f *testing.F) {
	f.Add(uint8(schema.String), true, uint16(5), []byte{2, 10, 1})                         // one run of code 1
	f.Add(uint8(schema.String), false, uint16(8), []byte{2, 0, 0, 0, 3, 0x55, 2, 3, 0xe4}) // levels and codes, bit-packed
	f.Add(uint8(schema.Double), false, uint16(2), append([]byte{2, 0, 0, 0, 4, 1}, make([]byte, 16)...))
	f.Add(uint8(schema.Boolean), true, uint16(9), []byte{0xaa, 1})
	for _, n := range []int{1, 3, 200} {
		values := make([]int64, n)
		narrow := make([]int32, n)
		for i := range values {
			values[i] = int64(i*i) * (1 - 2*int64(i%2)) << (i % 40)
			narrow[i] = int32(values[i])
		}
		var enc delta.BinaryPackedEncoding
		long, _ := enc.EncodeInt64(nil, values)
		f.Add(uint8(schema.Long), true, uint16(n), long)
		short, _ := enc.EncodeInt32(nil, narrow)
		f.Add(uint8(schema.Int), true, uint16(n), short)
	}
	dict := []string{"a", "b", "c", "d"}
	f.Fuzz(func(t *testing.T, kind uint8, required bool, n uint16, data []byte) {
		k := schema.Kind(kind % uint8(schema.Boolean+1))
		v := &vector{kind: k, dict: dict}
		h := format.DataPageHeader{NumValues: int32(n), Encoding: encodingOf(k)}
		var err error
		hostile.Bound(t, len(data), func() { err = new(pageDecoder).decode(v, &h, bytes.Clone(data), required) })
		if err != nil {
			return
		}
		want, ok := plainPage(k, required, int(n), data, dict)
		if !ok {
			t.Fatalf("accepted, but a plain decoder finds it damaged")
		}
		for i := range want {
			if got := v.value(i); got != want[i] && got.Float == got.Float {
				t.Fatalf("value %d is %+v, plainly %+v", i, got, want[i])
			}
		}
	})
}

// plainPage decodes a page value by value.
func plainPage(k schema.Kind, required bool, n int, data []byte, dict []string) (values []schema.Value, ok bool) {
	values = make([]schema.Value, n)
	present := n
	for i := range values {
		values[i].Valid = true
	}
	if !required {
		size := int(binary.LittleEndian.Uint32(data))
		levels, ok := plainRuns(data[4:4+size], 1, n)
		if !ok {
			return nil, false
		}
		for i, l := range levels {
			if values[i].Valid = l == 1; !values[i].Valid {
				present--
			}
		}
		data = data[4+size:]
	}
	var ints []int64
	switch {
	case present == 0:
	case k == schema.String:
		codes, ok := plainRuns(data[1:], int(data[0]), present)
		if !ok {
			return nil, false
		}
		for _, c := range codes {
			ints = append(ints, int64(c))
		}
	case k == schema.Double || k == schema.Float:
		for i := range present {
			ints = append(ints, int64(binary.LittleEndian.Uint64(data[8*i:])))
		}
	case k == schema.Boolean:
		for i := range present {
			ints = append(ints, int64(data[i/8]>>(i%8)&1))
		}
	default:
		if ints, ok = plainDeltas(data, present); !ok {
			return nil, false
		}
	}
	for i := range values {
		if !values[i].Valid {
			continue
		}
		x := ints[0]
		ints = ints[1:]
		switch k {
		case schema.String:
			if x >= int64(len(dict)) {
				return nil, false
			}
			values[i].Str = dict[x]
		case schema.Double, schema.Float:
			values[i].Float = math.Float64frombits(uint64(x))
		case schema.Int:
			values[i].Int = int64(int32(x))
		default:
			values[i].Int = x
		}
	}
	return values, true
}

// plainRuns decodes n values of Parquet's hybrid of runs and bit-packed groups.
func plainRuns(data []byte, width, n int) (values []uint32, ok bool) {
	for len(values) < n {
		head, size := binary.Uvarint(data)
		if size <= 0 {
			return nil, false
		}
		data = data[size:]
		if head&1 == 0 {
			if len(data) < (width+7)/8 {
				return nil, false
			}
			var x uint32
			for i := range (width + 7) / 8 {
				x |= uint32(data[i]) << (8 * i)
			}
			data = data[(width+7)/8:]
			for i := uint64(0); i < head>>1 && len(values) < n; i++ {
				values = append(values, x)
			}
			continue
		}
		for i := 0; i < int(head>>1)*8 && len(values) < n; i++ {
			x, ok := plainBits(data, i*width, width)
			if !ok {
				return nil, false
			}
			values = append(values, uint32(x))
		}
		data = data[min(len(data), int(head>>1)*width):]
	}
	return values, true
}

func plainBits(data []byte, at, width int) (x uint64, ok bool) {
	for i := range width {
		if (at+i)/8 >= len(data) {
			return 0, false
		}
		x |= uint64(data[(at+i)/8]>>((at+i)%8)&1) << i
	}
	return x, true
}

// plainDeltas decodes n values of Parquet's DELTA_BINARY_PACKED.
func plainDeltas(data []byte, n int) (values []int64, ok bool) {
	next := func() uint64 {
		x, size := binary.Uvarint(data)
		if size <= 0 {
			panic("no number")
		}
		data = data[size:]
		return x
	}
	signed := func() int64 {
		x := next()
		return int64(x>>1) ^ -int64(x&1)
	}
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	block, parts, _ := int(next()), int(next()), next()
	x := signed()
	for values = append(values, x); len(values) < n; {
		smallest := signed()
		widths := data[:parts]
		data = data[parts:]
		for p := 0; p < parts && len(values) < n; p++ {
			width := int(widths[p])
			for i := 0; i < block/parts && len(values) < n; i++ {
				d, ok := plainBits(data, i*width, width)
				if !ok {
					return nil, false
				}
				x += smallest + int64(d)
				values = append(values, x)
			}
			data = data[min(len(data), block/parts*width/8):]
		}
	}
	return values, true
}

// Every page has its CRC, and the footer's stands in the name.
func TestABitFlipInADataFileIsNoticed(t *testing.T) {
	l := testLayout(t, everyKind(schema.Interactions))
	whole := dataFileBytes(t, l)
	end := len(whole) - 8
	footer := whole[end-int(binary.LittleEndian.Uint32(whole[end:])) : end]
	name := dataFileName(&dataFile{footer: castagnoli(footer)})
	read := func(data []byte) ([][]schema.Value, error) {
		return columnsOf(inMemory{bytes.NewReader(data)}, name, int64(len(data)), l)
	}
	want, err := read(whole)
	if err != nil || len(want) == 0 {
		t.Fatal(len(want), err)
	}
	wrong := 0
	for bit := 0; bit < 8*len(whole); bit += 11 { // all of them take long
		data := bytes.Clone(whole)
		data[bit/8] ^= 1 << (bit % 8)
		if got, err := read(data); err == nil && !reflect.DeepEqual(got, want) {
			wrong++
			t.Errorf("bit %d of byte %d of %d: other values and no error", bit%8, bit/8, len(whole))
			if wrong == 10 {
				t.FailNow()
			}
		}
	}
}
