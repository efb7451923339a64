package rowtext_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/palate-dev/palate/internal/hostile"
	"github.com/palate-dev/palate/internal/rowtext"
	"github.com/palate-dev/palate/internal/schema"
)

// plainCSV reads lines of n texts as the dialect says, byte by byte: the rows in order, and the lines that are faulty.
func plainCSV(body string, n, limit int) (rows [][]string, faulty []int) {
	for i, line := range strings.Split(body, "\n") {
		line = strings.TrimSuffix(line, "\r")
		if line == "" {
			continue
		}
		values, ok := plainLine(line)
		ok = ok && len(values) == n && utf8.ValidString(line) && !strings.ContainsAny(line, "\x00\r")
		for _, v := range values {
			ok = ok && utf8.RuneCountInString(v) <= limit
		}
		if ok {
			rows = append(rows, values)
		} else {
			faulty = append(faulty, i+2)
		}
	}
	return rows, faulty
}

func plainLine(line string) (values []string, ok bool) {
	for {
		var v []byte
		if !strings.HasPrefix(line, `"`) {
			end := strings.IndexByte(line+",", ',')
			if strings.Contains(line[:end], `"`) {
				return nil, false
			}
			v, line = []byte(line[:end]), line[end:]
		} else {
			for line = line[1:]; ; {
				if line == "" {
					return nil, false
				}
				if line[0] == '"' && !strings.HasPrefix(line, `""`) {
					line = line[1:]
					break
				}
				c, size := line[0], 1
				for _, e := range []struct {
					text string
					c    byte
				}{{`""`, '"'}, {`\"`, '"'}, {`\\`, '\\'}, {`\u000A`, '\n'}, {`\u000a`, '\n'}, {`\u000D`, '\r'}, {`\u000d`, '\r'}} {
					if strings.HasPrefix(line, e.text) {
						c, size = e.c, len(e.text)
					}
				}
				v, line = append(v, c), line[size:]
			}
		}
		values = append(values, string(v))
		if line == "" {
			return values, true
		}
		if line[0] != ',' {
			return nil, false
		}
		line = line[1:]
	}
}

// object is an Object in memory.
type object string

func (o object) Name() string { return "a.csv" }
func (o object) Size() int64  { return int64(len(o)) }
func (o object) Open(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(string(o))), nil
}

// FuzzReadCSV holds that a file is read as a plain reader of the dialect reads it, faults included; that encoding/csv reads what both accept in the same way,
// as long as it holds none of our escapes; and that a report finds the faults that the reader stops at.
func FuzzReadCSV(f *testing.F) {
	for _, body := range []string{
		"a,b,c\nd,,f\n", "\"a\",\"b,\"\"c\",\r\n", "\n\n1,2,3", "a,b\n", "a,\"b\nc\",d\n", "a,b\"c,d\n", "\"a\"b,c,d\n", "a,\\,\"\\\\\"\n", "é,\xff,\x00\n", "a,b\rc,d\r\n",
		"\",\",\"\",\"\\u000A\"", "a,b,c\n" + strings.Repeat("é", 1001) + ",b,c\nx,\"\n",
	} {
		f.Add(body)
	}
	field := func(name string) schema.Field { return schema.Field{Name: name, Nullable: true} }
	s := &schema.Schema{Type: schema.Interactions, Fields: []schema.Field{field("A"), field("B"), field("C")}}
	f.Fuzz(func(t *testing.T, body string) {
		var rows []csvRow
		var report *rowtext.RowReport
		var err error
		hostile.Bound(t, len(body), func() {
			rows, err = readCSV(strings.NewReader("A,B,C\n"+body), s, rowtext.CSVOptions{Workers: 2})
			report = rowtext.Report(t.Context(), s, []rowtext.Object{object("A,B,C\n" + body)})
		})
		want, faulty := plainCSV(body, 3, 1000)
		var reported []int
		for _, r := range report.First {
			reported = append(reported, int(r.Line))
		}
		if !slices.Equal(reported, faulty[:min(len(faulty), 100)]) || report.Rows != int64(len(want)+len(faulty)) || report.Failed != int64(len(faulty)) || !report.Complete {
			t.Fatalf("%q: %d rows, faulty are lines %v, the report says %+v", body, len(want)+len(faulty), faulty, report)
		}
		if len(faulty) > 0 {
			if fault := new(rowtext.InputError); !errors.As(err, &fault) || fault.Line != int64(faulty[0]) {
				t.Fatalf("%q: %v, want a fault of line %d", body, err, faulty[0])
			}
			return
		}
		if err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		var got [][]string
		for _, row := range rows {
			got = append(got, []string{row.Values[0].Str, row.Values[1].Str, row.Values[2].Str})
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%q: (-plain +ReadCSV)\n%s", body, diff)
		}
		if strings.Contains(body, `\`) {
			return
		}
		r := csv.NewReader(strings.NewReader(body))
		r.FieldsPerRecord = 3
		other, err := r.ReadAll()
		if err != nil {
			t.Fatalf("%q: accepted, but encoding/csv says %v", body, err)
		}
		if diff := cmp.Diff(other, got); diff != "" {
			t.Fatalf("%q: (-encoding/csv +ReadCSV)\n%s", body, diff)
		}
	})
}

// FuzzReadCSVThenWriteIsStable holds that any accepted file, written again, reads the same.
func FuzzReadCSVThenWriteIsStable(f *testing.F) {
	for _, row := range []string{"a,1,2,3.5,4e7,true,x|y,z", `"a,",-0,,-0,.5,,"\u000A",`, "a,5.0,5.00,0.000001,123456789.123456789,false,,"} {
		f.Add("ITEM_ID,YEAR,CREATION_TIMESTAMP,PRICE,SCORE,LIVE,GENRE,PLOT\n" + row)
	}
	s := allKinds(f)
	f.Fuzz(func(t *testing.T, file string) {
		var first []csvRow
		var err error
		hostile.Bound(t, len(file), func() { first, err = readCSV(strings.NewReader(file), s, rowtext.CSVOptions{Workers: 1}) })
		if err != nil {
			return
		}
		again := rowtext.AppendCSVHeader(nil, s)
		for i := range first {
			first[i].Line = int64(i + 2)
			again = rowtext.AppendCSVRow(again, s, first[i].Values)
		}
		second, err := readCSV(bytes.NewReader(again), s, rowtext.CSVOptions{Workers: 1})
		if err != nil {
			t.Fatalf("%q written as %q: %v", file, again, err)
		}
		if diff := cmp.Diff(first, second); diff != "" {
			t.Fatalf("%q written as %q: (-first +second)\n%s", file, again, diff)
		}
	})
}

// FuzzFromProperties holds that what is accepted can be exported and imported again.
func FuzzFromProperties(f *testing.F) {
	f.Add(`{"year": 1.0, "price": "1e3", "live": "true", "genre": "a|b", "plot": "x\r\n\"\\", "score": -0.0}`)
	f.Add(`{"year": 1e400}`)
	f.Add(`{"YEAR":2e3,"year":null,"Plot":"\ud83d\ude00","unknown":1,"creationTimestamp":"1700000000"}`)
	s := allKinds(f)
	f.Fuzz(func(t *testing.T, properties string) {
		var values []schema.Value
		var err error
		hostile.Bound(t, len(properties), func() { values, err = fromProperties(s, map[string]schema.Value{"ITEM_ID": str("i")}, properties) })
		if err != nil {
			return
		}
		if _, flat := rowtext.MembersPlainly(properties); !flat && properties != "" {
			t.Fatalf("%q: accepted, but encoding/json sees no flat object", properties)
		}
		file := rowtext.AppendCSVRow(rowtext.AppendCSVHeader(nil, s), s, values)
		rows, err := readCSV(strings.NewReader(string(file)), s, rowtext.CSVOptions{Workers: 1})
		if err != nil {
			t.Fatalf("%q written as %q: %v", properties, file, err)
		}
		if diff := cmp.Diff([]csvRow{{2, values}}, rows); diff != "" {
			t.Fatalf("%q written as %q: (-put +read)\n%s", properties, file, diff)
		}
	})
}

// FuzzReadUserList holds that the ids of a deletion list are those that an import would store, read by the plain reader of the dialect.
func FuzzReadUserList(f *testing.F) {
	f.Add("a\n\"b\"\r\n\n\"c \\\"d\"\n é\n")
	f.Add("a,b\n\"x\n\xff\x00")
	f.Add("\"\"\n" + strings.Repeat("x", 257) + "\n")
	s := &schema.Schema{Type: schema.Users, Fields: []schema.Field{{Name: "USER_ID"}}}
	f.Fuzz(func(t *testing.T, body string) {
		var got []string
		var err error
		hostile.Bound(t, len(body), func() { got, err = readUserList(strings.NewReader("USER_ID\n" + body)) })
		rows, faulty := plainCSV(body, 1, 256)
		empty := slices.ContainsFunc(rows, func(row []string) bool { return row[0] == "" })
		if (err == nil) != (len(faulty) == 0 && !empty) {
			t.Fatalf("%q: %v, faulty are lines %v, an id is empty: %v", body, err, faulty, empty)
		}
		_, importErr := readCSV(strings.NewReader("USER_ID\n"+body), s, rowtext.CSVOptions{Workers: 1})
		if (err == nil) != (importErr == nil) {
			t.Fatalf("%q: list %v, import %v", body, err, importErr)
		}
		if err == nil && !slices.Equal(got, slices.Concat(rows...)) {
			t.Fatalf("%q: list %q, plainly %q", body, got, rows)
		}
	})
}
