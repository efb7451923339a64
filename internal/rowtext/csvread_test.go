package rowtext_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/palate-dev/palate/internal/rowtext"
	"github.com/palate-dev/palate/internal/schema"
	"github.com/palate-dev/palate/internal/schema/schematest"
)

// csvRow is a row as a sink saw it.
type csvRow struct {
	Line   int64
	Values []schema.Value
}

// readCSV collects all rows in line order.
func readCSV(r io.Reader, s *schema.Schema, o rowtext.CSVOptions) ([]csvRow, error) {
	var mu sync.Mutex
	var rows []csvRow
	_, n, err := rowtext.ReadCSV(context.Background(), r, s, o, func(int) func(int64, []schema.Value) error {
		return func(line int64, v []schema.Value) error {
			row := csvRow{line, slices.Clone(v)}
			for i := range row.Values {
				row.Values[i].Str = strings.Clone(row.Values[i].Str)
			}
			mu.Lock()
			defer mu.Unlock()
			rows = append(rows, row)
			return nil
		}
	})
	if err == nil && n != int64(len(rows)) {
		return nil, fmt.Errorf("ReadCSV counted %d rows, sinks saw %d", n, len(rows))
	}
	slices.SortFunc(rows, func(a, b csvRow) int { return int(a.Line - b.Line) })
	return rows, err
}

func str(s string) schema.Value      { return schema.Value{Valid: true, Str: s} }
func integer(n int64) schema.Value   { return schema.Value{Valid: true, Int: n} }
func decimal(x float64) schema.Value { return schema.Value{Valid: true, Float: x} }

func allKinds(t testing.TB) *schema.Schema {
	return schematest.Parse(t, schematest.Avro("Items", "ITEM_ID:string", "YEAR:int?", "CREATION_TIMESTAMP:long?", "PRICE:float?", "SCORE:double?", "LIVE:boolean?", "GENRE:string?/categorical", "PLOT:string?/textual"), "")
}

func TestReadCSVConvertsEveryKind(t *testing.T) {
	const file = "ITEM_ID,YEAR,CREATION_TIMESTAMP,PRICE,SCORE,LIVE,GENRE,PLOT\n" +
		"a,1999,1425941529,19.99,0.1,true,drama|war,once\n" +
		"b,,,,,,,\n" +
		"\r\n" +
		`"c",-5.0,-9223372036854775808,-.5,1e-7,false,"a, ""b"" \"c\" \\ \x \u000A\u000d",` + "\"\"\r\n" +
		"日本,2147483647,9223372036854775807.00,5.,123456789012345678901234567890,true, padded ,back\\slash"
	rows, err := readCSV(strings.NewReader(file), allKinds(t), rowtext.CSVOptions{Name: "items.csv"})
	if err != nil {
		t.Fatal(err)
	}
	var null schema.Value
	want := []csvRow{
		{2, []schema.Value{str("a"), integer(1999), integer(1425941529), decimal(19.99), decimal(0.1), integer(1), str("drama|war"), str("once")}},
		{3, []schema.Value{str("b"), null, null, null, null, null, null, null}},
		{5, []schema.Value{str("c"), integer(-5), integer(-1 << 63), decimal(-0.5), decimal(1e-7), integer(0), str("a, \"b\" \"c\" \\ \\x \n\r"), null}},
		{6, []schema.Value{str("日本"), integer(1<<31 - 1), integer(1<<63 - 1), decimal(5), decimal(123456789012345678901234567890), integer(1), str(" padded "), str(`back\slash`)}},
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestReadCSVMatchesColumnsByNameInAnyOrder(t *testing.T) {
	s := schematest.Parse(t, schematest.Avro("Users", "USER_ID:string", "AGE:int?"), "")
	want := []csvRow{{2, []schema.Value{str("u"), integer(7)}}}
	for _, file := range []string{
		"USER_ID,AGE\nu,7\n",
		"\ufeffUSER_ID,AGE\r\nu,7\r\n",
		"AGE,NOTE,user_id\n7,\"x, y\",u",
		"user_id,USER_ID,Age\nother,u,7\n",
		"\"USER_ID\",\"AGE\"\nu,7\n\n\n",
	} {
		for name, r := range map[string]io.Reader{"whole": strings.NewReader(file), "bytewise": iotest.OneByteReader(strings.NewReader(file))} {
			rows, err := readCSV(r, s, rowtext.CSVOptions{Name: "users.csv"})
			if err != nil {
				t.Errorf("%s %q: %v", name, file, err)
			} else if diff := cmp.Diff(want, rows); diff != "" {
				t.Errorf("%s %q: (-want +got)\n%s", name, file, diff)
			}
		}
	}
}

const notConforming = "Input CSV has rows that do not conform to the dataset schema. First failure: f.csv line "

func TestReadCSVFailsTheObjectWithLineColumnAndCause(t *testing.T) {
	s := schematest.Parse(t, schematest.Avro("Items", "ITEM_ID:string", "YEAR:int", "PRICE:float?", "LIVE:boolean?", "GENRE:string?/categorical", "PLOT:string?/textual"), "")
	long := func(n int) string { return strings.Repeat("é", n) }
	tooLong := func(limit int, column string, line int) string {
		return fmt.Sprintf("Length cannot be more than %d characters for %s. If no values exceed the character limit, make sure your data follows the formatting guidelines listed in "+
			"https://docs.aws.amazon.com/personalize/latest/dg/data-prep-formatting.html. First failure: f.csv line %d, column %s.", limit, column, line, column)
	}
	for _, c := range []struct{ name, rows, want string }{
		{"empty id", ",1,,,,", notConforming + "2, column ITEM_ID. The value is empty and the field does not admit null."},
		{"quoted empty id", `"",1,,,,`, notConforming + "2, column ITEM_ID. The value is empty and the field does not admit null."},
		{"null where null is not allowed", "CANARY,1,,,,\nCANARY,,,,,", notConforming + "3, column YEAR. The value is empty and the field does not admit null."},
		{"text for int", "CANARY,x,,,,", notConforming + "2, column YEAR. The value is not of type int."},
		{"fraction for int", "CANARY,5.5,,,,", notConforming + "2, column YEAR. The value is not of type int."},
		{"point without zeros", "CANARY,5.,,,,", notConforming + "2, column YEAR. The value is not of type int."},
		{"exponent for int", "CANARY,1e3,,,,", notConforming + "2, column YEAR. The value is not of type int."},
		{"space before int", "CANARY, 5,,,,", notConforming + "2, column YEAR. The value is not of type int."},
		{"sign alone", "CANARY,-,-,,,", notConforming + "2, column YEAR. The value is not of type int."},
		{"int out of range", "CANARY,2147483648,,,,", notConforming + "2, column YEAR. The value is not between -2147483648 and 2147483647."},
		{"long out of range", "CANARY,99999999999999999999,,,,", notConforming + "2, column YEAR. The value is not of type int."},
		{"point alone", "CANARY,1,.,,,", notConforming + "2, column PRICE. The value is not of type float."},
		{"minus point", "CANARY,1,-.,,,", notConforming + "2, column PRICE. The value is not of type float."},
		{"two points", "CANARY,1,1.2.3,,,", notConforming + "2, column PRICE. The value is not of type float."},
		{"not a number", "CANARY,1,NaN,,,", notConforming + "2, column PRICE. The value is not of type float."},
		{"infinity", "CANARY,1,-Inf,,,", notConforming + "2, column PRICE. The value is not of type float."},
		{"float out of range", "CANARY,1,1e999,,,", notConforming + "2, column PRICE. The value is not of type float."},
		{"hexadecimal", "CANARY,1,0x1p-2,,,", notConforming + "2, column PRICE. The value is not of type float."},
		{"underscore", "CANARY,1,1_000,,,", notConforming + "2, column PRICE. The value is not of type float."},
		{"boolean in capitals", "CANARY,1,,True,,", notConforming + "2, column LIVE. The value is not of type boolean."},
		{"too few values", "CANARY,1,,,", notConforming + "2. The line has 5 values, the header has 6 columns."},
		{"too few values where the first ones do not fit", "1,CANARY,,,", notConforming + "2. The line has 5 values, the header has 6 columns."},
		{"too many values", "CANARY,1,,,,,", notConforming + "2. The line has 7 values, the header has 6 columns."},
		{"too many quoted values", `"CANARY",1,,,,,"x"`, notConforming + "2. The line has 7 values, the header has 6 columns."},
		{"blank lines counted", "CANARY,1,,,,\n\n\nCANARY,x,,,,", notConforming + "5, column YEAR. The value is not of type int."},
		{"open quote", `"CANARY",1,,,"x,`, notConforming + "2, column GENRE. A quoted value is not closed on its line."},
		{"line end in quotes", "CANARY,1,,,\"x\ny\",", notConforming + "2, column GENRE. A quoted value is not closed on its line."},
		{"escaped closing quote", `CANARY,1,,,"x\",`, notConforming + "2, column GENRE. A quoted value is not closed on its line."},
		{"backslash at the end", `CANARY,1,,,"x\`, notConforming + "2, column GENRE. A quoted value is not closed on its line."},
		{"text after a quote", `CANARY,1,,,"x"y,`, notConforming + "2, column GENRE. A closing quote is not followed by a comma or the end of the line."},
		{"quote inside", `CANARY,1,,,x"y,`, notConforming + "2, column GENRE. A quote stands inside a value that is not quoted."},
		{"quote beyond the last column", `CANARY,1,,,,,"x`, notConforming + "2. A quoted value is not closed on its line."},
		{"not UTF-8", "CANARY,1,,,x\xff,", notConforming + "2, column GENRE. The text is not valid UTF-8."},
		{"id that is not UTF-8", "CANARY\xff,1,,,x,", notConforming + "2, column ITEM_ID. The text is not valid UTF-8."},
		{"NUL", "CANARY,1,,,,\nCANARY,1,,,\x00,", notConforming + "3, column GENRE. The text holds a NUL character."},
		{"bare carriage return", "CANARY,1,,,a\rb,\r\n", notConforming + "2, column GENRE. The text holds a carriage return."},
		{"long id", "CANARY,1,,,,\nCANARY" + long(251) + ",1,,,,", tooLong(256, "ITEM_ID", 3)},
		{"long categorical", "CANARY,1,,,|" + long(1000) + ",", tooLong(1000, "GENRE", 2)},
		{"long line", "CANARY,1,,,,\nCANARY,1,,,," + long(1<<19), notConforming + "3. The line is longer than 1 MiB."},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := readCSV(strings.NewReader("ITEM_ID,YEAR,PRICE,LIVE,GENRE,PLOT\n"+c.rows+"\n"), s, rowtext.CSVOptions{Name: "f.csv"})
			if fault := new(rowtext.InputError); !errors.As(err, &fault) {
				t.Fatalf("%v is not an *InputError", err)
			}
			if diff := cmp.Diff(c.want, err.Error()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if strings.Contains(err.Error(), "CANARY") {
				t.Error("the error repeats an id")
			}
		})
	}
}

func TestReadCSVHoldsTheLimitsOfActionValues(t *testing.T) {
	s := schematest.Parse(t, schematest.Avro("Actions", "ACTION_ID:string", "VALUE:long?", "REPEAT_FREQUENCY:long?"), "")
	for row, want := range map[string]string{
		"a,1,0":   "",
		"a,10,30": "",
		"a,,":     "",
		"a,0,1":   notConforming + "2, column VALUE. The value is not between 1 and 10.",
		"a,11,1":  notConforming + "2, column VALUE. The value is not between 1 and 10.",
		"a,1,31":  notConforming + "2, column REPEAT_FREQUENCY. The value is not between 0 and 30.",
	} {
		_, err := readCSV(strings.NewReader("ACTION_ID,VALUE,REPEAT_FREQUENCY\n"+row), s, rowtext.CSVOptions{Name: "f.csv"})
		if got := fmt.Sprint(err); err != nil && got != want || err == nil && want != "" {
			t.Errorf("%s: %v, want %q", row, err, want)
		}
	}
}

func TestReadCSVRefusesHeadersThatDoNotFit(t *testing.T) {
	s := schematest.Parse(t, schematest.Avro("Users", "USER_ID:string", "AGE:int", "GENDER:string?/categorical"), "")
	for _, c := range []struct {
		name, file string
		header     []string
		want       string
	}{
		{"missing columns", "AGE,id\n7,u\n", nil, "Input CSV is missing the following columns:[USER_ID, GENDER]."},
		{"no header", "u,7,f\n", nil, "Input CSV is missing the following columns:[USER_ID, AGE, GENDER]."},
		{"spaces around names", "USER_ID, AGE,GENDER\n", nil, "Input CSV is missing the following columns:[AGE]."},
		{"blank first line", "\nUSER_ID,AGE,GENDER\n", nil, "Input CSV is missing the following columns:[USER_ID, AGE, GENDER]."},
		{"column twice", "USER_ID,AGE,GENDER,AGE\n", nil, notConforming + "1, column AGE. The header names the column twice."},
		{"ambiguous case", "USER_ID,age,GENDER,Age\n", nil, notConforming + "1, column AGE. The header names the column twice."},
		{"broken quote", "\"USER_ID,AGE\n", nil, notConforming + "1. A quoted value is not closed on its line."},
		{"UTF-16", "\xff\xfeU\x00S\x00", nil, notConforming + "1. The text is not valid UTF-8."},
		{"other header in the folder", "USER_ID,GENDER,AGE\n", []string{"USER_ID", "AGE", "GENDER"}, "Column headers do not match across input files. The header of f.csv differs from that of the files before it."},
		{"empty object", "", nil, "The specified Amazon S3 location does not contain any CSV files. Object f.csv is empty."},
		{"one endless line", strings.Repeat("x", 1<<20+1), nil, notConforming + "1. The line is longer than 1 MiB."},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := readCSV(strings.NewReader(c.file), s, rowtext.CSVOptions{Name: "f.csv", Header: c.header})
			if fault := new(rowtext.InputError); !errors.As(err, &fault) || fault.File != "f.csv" {
				t.Fatalf("%v is not an *InputError on the file", err)
			}
			if diff := cmp.Diff(c.want, err.Error()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	header, rows, err := rowtext.ReadCSV(context.Background(), strings.NewReader("USER_ID,GENDER,AGE\n"), s, rowtext.CSVOptions{Header: []string{"USER_ID", "GENDER", "AGE"}},
		func(int) func(int64, []schema.Value) error { return nil })
	if err != nil || rows != 0 || !slices.Equal(header, []string{"USER_ID", "GENDER", "AGE"}) {
		t.Errorf("header alone: %v, %d rows, %v", header, rows, err)
	}
}

func TestReadCSVCutsTextualValuesAtTheirLimit(t *testing.T) {
	s := schematest.Parse(t, schematest.Avro("Items", "ITEM_ID:string", "PLOT:string?/textual"), "")
	exact := strings.Repeat("語", 20_000)
	rows, err := readCSV(strings.NewReader("ITEM_ID,PLOT\na,"+exact+"\nb,"+exact+"語x\n"), s, rowtext.CSVOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if r.Values[1].Str != exact {
			t.Errorf("line %d: %d bytes, want %d", r.Line, len(r.Values[1].Str), len(exact))
		}
	}
}

// manyBlocks is a file of several blocks whose lines in bad have a broken timestamp.
func manyBlocks(lines int, bad ...int) []byte {
	b := []byte("USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE\n")
	for line := 2; line <= lines; line++ {
		stamp := fmt.Sprint(line)
		if slices.Contains(bad, line) {
			stamp = "never"
		}
		b = fmt.Appendf(b, "user%d,item%d,%s,watch,\n", line%977, line%331, stamp)
	}
	return b
}

func TestReadCSVGivesEveryRowItsPhysicalLine(t *testing.T) {
	const lines = 120_000
	data := manyBlocks(lines)
	var last [2]int64
	rows, err := readCSV(bytes.NewReader(data), schematest.Parse(t, schematest.Interactions, ""), rowtext.CSVOptions{Workers: 4, Progress: func(rows, bytes int64) {
		if rows < last[0] || bytes < last[1] {
			t.Errorf("progress went back from %v to %d rows, %d bytes", last, rows, bytes)
		}
		last = [2]int64{rows, bytes}
	}})
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rows {
		if r.Line != int64(i+2) || r.Values[2].Int != r.Line {
			t.Fatalf("row %d has line %d and is the one of line %d", i, r.Line, r.Values[2].Int)
		}
	}
	header := int64(bytes.IndexByte(data, '\n') + 1)
	if want := [2]int64{lines - 1, int64(len(data)) - header}; last != want {
		t.Errorf("last progress %v, want %v", last, want)
	}
}

func TestReadCSVReportsTheSmallestFailingLineWhateverTheTiming(t *testing.T) {
	const lines = 120_000
	data := manyBlocks(lines, 61_234, 61_300, 90_000, 110_001, lines)
	s := schematest.Parse(t, schematest.Interactions, "")
	want := "Input CSV has rows that do not conform to the dataset schema. First failure:  line 61234, column TIMESTAMP. The value is not of type long."
	for run := range 10 {
		var once sync.Once
		behind := make(chan struct{})
		_, _, err := rowtext.ReadCSV(context.Background(), bytes.NewReader(data), s, rowtext.CSVOptions{Workers: 4}, func(int) func(int64, []schema.Value) error {
			return func(line int64, _ []schema.Value) error {
				if run%2 == 0 && line == 61_233 {
					<-behind // another worker is past this block
				} else if line > 80_000 {
					once.Do(func() { close(behind) })
				}
				return nil
			}
		})
		if err == nil || err.Error() != want {
			t.Fatalf("run %d: %v, want %s", run, err, want)
		}
	}
}

func TestReadCSVTellsFaultsOfTheInputFromOthers(t *testing.T) {
	s := schematest.Parse(t, schematest.Interactions, "")
	broken := errors.New("connection reset")
	data := manyBlocks(100)
	nothing := func(int) func(int64, []schema.Value) error {
		return func(int64, []schema.Value) error { return nil }
	}
	_, _, err := rowtext.ReadCSV(context.Background(), io.MultiReader(bytes.NewReader(data), iotest.ErrReader(broken)), s, rowtext.CSVOptions{}, nothing)
	if fault := new(rowtext.InputError); !errors.Is(err, broken) || errors.As(err, &fault) {
		t.Errorf("read error came back as %v", err)
	}
	full := errors.New("disk full")
	_, _, err = rowtext.ReadCSV(context.Background(), bytes.NewReader(data), s, rowtext.CSVOptions{}, func(int) func(int64, []schema.Value) error {
		return func(line int64, _ []schema.Value) error {
			if line == 50 {
				return full
			}
			return nil
		}
	})
	if err != full {
		t.Errorf("sink error came back as %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err = rowtext.ReadCSV(ctx, bytes.NewReader(data), s, rowtext.CSVOptions{}, nothing); err != context.Canceled {
		t.Errorf("cancelled read ended with %v", err)
	}
}
