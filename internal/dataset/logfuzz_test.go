package dataset

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/palate-dev/palate/internal/hostile"
	"github.com/palate-dev/palate/internal/schema"
)

// logLayout has a column of each form that a value takes in the log.
func logLayout() *layout {
	return &layout{kind: schema.Users, time: -1, cols: []columnInfo{{id: 1, kind: schema.String}, {id: 2, kind: schema.Long}, {id: 3, kind: schema.Double}, {id: 4, kind: schema.Boolean}}}
}

// logRecord is a put of some rows as it stands in a frame.
func logRecord(t testing.TB, table string, first int64, rows ...Row) []byte {
	t.Helper()
	put, err := encodePut(table, logLayout(), []int{0, 1, 2, 3}, rows)
	if err != nil {
		t.Fatal(err)
	}
	body := append(binary.AppendUvarint([]byte{byte(putRecord)}, uint64(first)), put...)
	return append(binary.AppendUvarint(nil, uint64(len(body))), body...)
}

// plainRow is a row with everything that counts in it.
type plainRow struct {
	Table            string
	Seq              int64
	Session, EventID string
	Values           []schema.Value
}

// plainRecords decodes a payload as FORMAT.md describes it, field by field. It returns false where the payload ends too early.
func plainRecords(payload []byte, l *layout) (rows []plainRow, ok bool) {
	defer func() {
		if e := recover(); e != nil { // a slice that ends too early
			ok = false
		}
	}()
	number := func(b *[]byte) (x uint64) {
		for i := 0; i < binary.MaxVarintLen64; i++ {
			c := (*b)[0]
			*b = (*b)[1:]
			if x |= uint64(c&0x7f) << (7 * i); c < 0x80 {
				return x
			}
		}
		panic("a number that does not end")
	}
	text := func(b *[]byte) (s []byte) {
		n := number(b)
		if n > uint64(len(*b)) {
			panic("a text that does not end")
		}
		s, *b = (*b)[:n], (*b)[n:]
		return s
	}
	for len(payload) > 0 {
		b := text(&payload)
		kind, first := number(&b), number(&b)
		if requestKind(kind) != putRecord {
			continue
		}
		table := string(text(&b))
		columns := make([][2]uint64, 0)
		for range number(&b) {
			columns = append(columns, [2]uint64{number(&b), uint64(schema.Kind(number(&b)))})
		}
		count := number(&b)
		if count > uint64(len(b)) {
			return rows, false
		}
		for i := range count {
			row := plainRow{Table: table, Seq: int64(first + i), Values: make([]schema.Value, len(l.cols))}
			row.Session, row.EventID = string(text(&b)), string(text(&b))
			bits := b[:(len(columns)+7)/8]
			b = b[len(bits):]
			for j, c := range columns {
				var v schema.Value
				if v.Valid = bits[j/8]>>(j%8)&1 == 1; v.Valid {
					switch schema.Kind(c[1]) {
					case schema.String:
						v.Str = string(text(&b))
					case schema.Float, schema.Double:
						v.Float = math.Float64frombits(binary.LittleEndian.Uint64(b))
						b = b[8:]
					case schema.Boolean:
						v.Int = int64(b[0])
						b = b[1:]
					default:
						x := number(&b)
						v.Int = int64(x>>1) ^ -int64(x&1)
					}
				}
				if at := slices.IndexFunc(l.cols, func(x columnInfo) bool { return uint64(x.id) == c[0] }); at >= 0 {
					row.Values[at] = v
				}
			}
			rows = append(rows, row)
		}
	}
	return rows, true
}

// FuzzRecord holds that whatever stands in a frame, its decoder ends with an error, or with the rows that a plain decoder reads.
func FuzzRecord(f *testing.F) {
	a := Row{Values: []schema.Value{str("u"), num(-5), dec(2.5), num(1)}, Session: "s", EventID: "e"}
	b := Row{Values: []schema.Value{str("v"), {}, {}, {}}}
	f.Add(logRecord(f, "t1", 7, a))
	f.Add(slices.Concat(logRecord(f, "t1", 7, a, b), logRecord(f, "t2", 1<<40, b, b, b), []byte{2, 2, 9})) // and a fence
	f.Add([]byte("\x10\x01\x07\x02t1\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))                        // more rows than an int can count
	l := logLayout()
	f.Fuzz(func(t *testing.T, payload []byte) {
		var got []plainRow
		var err error
		hostile.Bound(t, len(payload), func() {
			err = eachRecord(bytes.Clone(payload), func(rec record) error {
				if rec.kind != putRecord {
					return nil
				}
				d := memReader{layout: l}
				return d.put(&rec.put, func(r *memRow) error {
					got = append(got, plainRow{rec.table, r.seq, r.session, r.eventID, slices.Clone(r.vals)})
					return nil
				})
			})
		})
		want, ok := plainRecords(payload, l)
		if ok != (err == nil) {
			t.Fatalf("%v, a plain decoder reads it: %v", err, ok)
		}
		if diff := gocmp.Diff(want, got, cmpopts.EquateNaNs()); ok && diff != "" {
			t.Fatalf("(-plain +ours)\n%s", diff)
		}
	})
}

// logFrame is a frame of some records.
func logFrame(first, last int64, records ...[]byte) []byte {
	payload := slices.Concat(records...)
	b := binary.LittleEndian.AppendUint32(nil, frameMagic)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	b = binary.LittleEndian.AppendUint64(b, uint64(first))
	b = binary.LittleEndian.AppendUint64(b, uint64(last))
	b = binary.LittleEndian.AppendUint32(b, castagnoli(payload))
	b = binary.LittleEndian.AppendUint32(b, castagnoli(b))
	return append(b, payload...)
}

// FuzzRecovery damages a segment and recovers it. Each frame whose bytes are all there must come back; a torn end is cut off the last segment; all other damage
// is an error.
func FuzzRecovery(f *testing.F) {
	head := binary.LittleEndian.AppendUint64([]byte(segmentMagic), 1)
	head = binary.LittleEndian.AppendUint32(head, castagnoli(head))
	row := func(user string) Row {
		return Row{Values: []schema.Value{str(user), num(1), dec(1), num(1)}, Session: "s-" + user}
	}
	frames := [][]byte{
		logFrame(1, 2, logRecord(f, "t1", 1, row("a"), row("b"))),
		logFrame(3, 4, logRecord(f, "t2", 3, row("c")), logRecord(f, "t1", 4, row("d"))),
		logFrame(5, 5, logRecord(f, "dropped", 5, row("e"))),
		logFrame(6, 6, logRecord(f, "t1", 6, row("f"))),
	}
	whole := slices.Concat(append([][]byte{head}, frames...)...)
	f.Add(uint16(len(whole)), true, []byte{})
	f.Add(uint16(len(whole)), false, []byte{})
	f.Add(uint16(len(whole)-1), true, []byte{})
	f.Add(uint16(len(whole)-1), false, []byte{})
	f.Add(uint16(len(whole)), true, []byte{0, byte(len(head) + 40), 1}) // in the middle
	f.Add(uint16(len(whole)), true, []byte{byte(len(whole) - 1), 0, 1}) // at the end
	f.Fuzz(func(t *testing.T, size uint16, last bool, changes []byte) {
		data := bytes.Clone(whole[:min(int(size), len(whole))])
		for ; len(changes) >= 3 && len(data) > 0; changes = changes[3:] {
			data[int(binary.LittleEndian.Uint16(changes))%len(data)] ^= changes[2]
		}
		var got []plainRow
		var valid int
		var err error
		hostile.Bound(t, len(data), func() {
			got, valid, err = recovered(data, last)
		})
		var want []plainRow
		at, damaged := len(head), !bytes.HasPrefix(data, head)
		for rest := frames; !damaged && len(rest) > 0 && at < len(data); rest = rest[1:] {
			if !bytes.HasPrefix(data[at:], rest[0]) {
				damaged = !last
				for next := at; len(rest) > 1 && !damaged; rest = rest[1:] { // a later frame tells that this one was whole once
					next += len(rest[0])
					damaged = len(data) > next && bytes.HasPrefix(data[next:], rest[1][:frameHeader])
				}
				break
			}
			rows, _ := plainRecords(rest[0][frameHeader:], logLayout())
			want = append(want, slices.DeleteFunc(rows, func(r plainRow) bool { return r.Table == "dropped" })...)
			at += len(rest[0])
		}
		if damaged != (err != nil) {
			t.Fatalf("%x: %v, it is damaged: %v", data, err, damaged)
		}
		if err != nil {
			return
		}
		if diff := gocmp.Diff(want, got); valid != at || diff != "" {
			t.Fatalf("%x: %d bytes, want %d (-plain +ours)\n%s", data, valid, at, diff)
		}
	})
}

// recovered is what a log of one segment brings into the memory of two tables.
func recovered(data []byte, last bool) (rows []plainRow, valid int, err error) {
	g := &group{tables: make(map[string]*tableState)}
	for _, id := range []string{"t1", "t2"} {
		g.tables[id] = &tableState{g: g, id: id, layout: logLayout()}
	}
	l := &eventLog{g: g}
	if valid, err = l.scan(data, last); err != nil {
		return nil, 0, err
	}
	for id, t := range g.tables {
		if err := t.mem.each(t.layout, func(r *memRow) error {
			rows = append(rows, plainRow{id, r.seq, r.session, r.eventID, slices.Clone(r.vals)})
			return nil
		}); err != nil {
			return nil, 0, err
		}
	}
	slices.SortFunc(rows, func(a, b plainRow) int { return cmp.Compare(a.Seq, b.Seq) })
	return rows, valid, nil
}

// FuzzLateFilter holds that a filter of late events that is accepted is written again as it was.
func FuzzLateFilter(f *testing.F) {
	filter := &lateFilter{cut: time.Unix(1_700_000_000, 5), expiry: time.Unix(1_700_086_400, 0)}
	f.Add(filter.encode())
	filter.hashes = []uint64{1, 1 << 40, math.MaxUint64}
	f.Add(filter.encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4 {
			data = binary.LittleEndian.AppendUint32(bytes.Clone(data[:len(data)-4]), castagnoli(data[:len(data)-4]))
		}
		var read *lateFilter
		var err error
		hostile.Bound(t, len(data), func() { read, err = decodeLate("job", data) })
		if err != nil {
			return
		}
		if again := read.encode(); !bytes.Equal(again, data) {
			t.Fatalf("%x is written again as %x", data, again)
		}
	})
}
