package rowtext_test

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/palate-dev/palate/internal/rowtext"
	"github.com/palate-dev/palate/internal/schema"
	"github.com/palate-dev/palate/internal/schema/schematest"
	"pgregory.net/rapid"
)

func TestCSVWriterQuotesOnlyWhatNeedsIt(t *testing.T) {
	s := allKinds(t)
	got := rowtext.AppendCSVHeader(nil, s)
	got = rowtext.AppendCSVRow(got, s, []schema.Value{str("a"), integer(-3), integer(1425941529), decimal(19.99), decimal(1e21), integer(1), str("a|b"), str("say \"a, b\" \\ \r\n")})
	got = rowtext.AppendCSVRow(got, s, []schema.Value{str("b c"), {}, {}, decimal(5), decimal(1e-9), integer(0), {}, {}})
	want := "ITEM_ID,YEAR,CREATION_TIMESTAMP,PRICE,SCORE,LIVE,GENRE,PLOT\n" +
		`a,-3,1425941529,19.99,1e+21,true,a|b,"say \"a, b\" \\ \u000D\u000A"` + "\n" +
		"b c,,,5,1e-09,false,,\n"
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// anyValue draws a value that a field of the kind can hold.
func anyValue(f schema.Field, limit int) *rapid.Generator[schema.Value] {
	return rapid.Custom(func(t *rapid.T) schema.Value {
		if f.Nullable && rapid.IntRange(0, 3).Draw(t, "null") == 0 {
			return schema.Value{}
		}
		switch f.Kind {
		case schema.Int:
			return integer(int64(rapid.Int32().Draw(t, "int")))
		case schema.Long:
			return integer(rapid.Int64().Draw(t, "long"))
		case schema.Float, schema.Double:
			greatest := math.MaxFloat64
			if f.Kind == schema.Float {
				greatest = math.MaxFloat32
			}
			return decimal(rapid.OneOf(rapid.Float64Range(-greatest, greatest), rapid.Float64Range(-1e6, 1e6), rapid.Map(rapid.IntRange(-1000, 1000), func(n int) float64 { return float64(n) / 100 })).Draw(t, "decimal"))
		case schema.Boolean:
			return integer(int64(rapid.IntRange(0, 1).Draw(t, "boolean")))
		}
		r := rapid.OneOf(rapid.RuneFrom([]rune("ab,\"\\\r\n u0A|\ufeff語")), rapid.Rune().Filter(func(r rune) bool { return r != 0 }))
		return str(rapid.StringOfN(r, 1, limit, -1).Draw(t, "string"))
	})
}

func TestWhatTheCSVWriterWritesReadsBackTheSame(t *testing.T) {
	s := allKinds(t)
	rapid.Check(t, func(t *rapid.T) {
		var want []csvRow
		file := rowtext.AppendCSVHeader(nil, s)
		for line := range rapid.IntRange(0, 5).Draw(t, "rows") {
			values := make([]schema.Value, len(s.Fields))
			for i, f := range s.Fields {
				values[i] = anyValue(f, 30).Draw(t, f.Name)
			}
			want = append(want, csvRow{int64(line + 2), values})
			file = rowtext.AppendCSVRow(file, s, values)
		}
		got, err := readCSV(bytes.NewReader(file), s, rowtext.CSVOptions{})
		if err != nil {
			t.Fatalf("%q: %v", file, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%q: (-written +read)\n%s", file, diff)
		}
	})
}

func TestDecimalsReadAsStrconvReadsThem(t *testing.T) {
	s := schematest.Parse(t, schematest.Avro("Users", "USER_ID:string", "X:double"), "")
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`-?[0-9]{0,18}(\.[0-9]{0,18})?`).Draw(t, "text")
		want, parseErr := strconv.ParseFloat(text, 64)
		rows, err := readCSV(strings.NewReader("USER_ID,X\nu,"+text+"\n"), s, rowtext.CSVOptions{Workers: 1})
		if (err == nil) != (parseErr == nil) {
			t.Fatalf("%q: %v", text, err)
		}
		if err == nil && math.Float64bits(rows[0].Values[1].Float) != math.Float64bits(want) {
			t.Fatalf("%q read as %v, want %v", text, rows[0].Values[1].Float, want)
		}
	})
}

func TestDecimalsAreWrittenWithTheFewestDigits(t *testing.T) {
	s := schematest.Parse(t, schematest.Avro("Users", "USER_ID:string", "X:double"), "")
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.OneOf(rapid.Float64(), rapid.Float64Range(-1000, 1000), rapid.Map(rapid.Int64Range(-1e16, 1e16), func(n int64) float64 { return float64(n) / 100 })).Draw(t, "x")
		got := string(rowtext.AppendCSVRow(nil, s, []schema.Value{str("u"), decimal(x)}))
		want := "u," + strconv.FormatFloat(x, 'f', -1, 64) + "\n"
		if abs := math.Abs(x); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
			want = "u," + strconv.FormatFloat(x, 'e', -1, 64) + "\n"
		}
		if got != want {
			t.Fatalf("%v written as %q, want %q", x, got, want)
		}
	})
}
