package rowtext_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"io"
	"strconv"
	"testing"

	"github.com/palate-dev/palate/internal/rowtext"
	"github.com/palate-dev/palate/internal/schema"
	"github.com/palate-dev/palate/internal/schema/schematest"
)

// simpleCSV writes rows of about 45 bytes, the shape of a rating log.
func simpleCSV(rows int) []byte {
	b := []byte("USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE\n")
	x := uint64(1)
	for range rows {
		x = x*6364136223846793005 + 1442695040888963407
		b = append(b, "user-"...)
		b = strconv.AppendUint(b, x>>44, 10)
		b = append(b, ",item-"...)
		b = strconv.AppendUint(b, x>>20&0xffff, 10)
		b = append(b, ',')
		b = strconv.AppendUint(b, 1_400_000_000+x>>36&0xfffffff, 10)
		b = append(b, ",watch,"...)
		b = strconv.AppendFloat(b, float64(x>>10%10)/2, 'f', 1, 64)
		b = append(b, '\n')
	}
	return b
}

func BenchmarkReadCSV(b *testing.B) {
	const rows = 1_000_000
	data := simpleCSV(rows)
	s, err := schema.Parse(schematest.Interactions, "")
	if err != nil {
		b.Fatal(err)
	}
	report := func(b *testing.B) {
		b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
	}
	for _, workers := range []int{1, 2} {
		b.Run("workers="+strconv.Itoa(workers), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				sink := func(int) func(int64, []schema.Value) error {
					return func(int64, []schema.Value) error { return nil }
				}
				if _, n, err := rowtext.ReadCSV(context.Background(), bytes.NewReader(data), s, rowtext.CSVOptions{Workers: workers}, sink); err != nil || n != rows {
					b.Fatal(n, err)
				}
			}
			report(b)
		})
	}
	b.Run("encoding-csv", func(b *testing.B) { // splits only: no types, no checks
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			r := csv.NewReader(bytes.NewReader(data))
			r.ReuseRecord = true
			for {
				if _, err := r.Read(); err == io.EOF {
					break
				} else if err != nil {
					b.Fatal(err)
				}
			}
		}
		report(b)
	})
}

func BenchmarkReadCSVQuoted(b *testing.B) {
	const rows = 200_000
	s := allKinds(b)
	data := rowtext.AppendCSVHeader(nil, s)
	for i := range rows {
		data = rowtext.AppendCSVRow(data, s, []schema.Value{str(strconv.Itoa(i)), integer(1999), integer(int64(i)), decimal(19.99), decimal(0.1), integer(1), str("drama|war"), str(`A man, a plan, and "a canal"`)})
	}
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		sink := func(int) func(int64, []schema.Value) error {
			return func(int64, []schema.Value) error { return nil }
		}
		if _, n, err := rowtext.ReadCSV(context.Background(), bytes.NewReader(data), s, rowtext.CSVOptions{Workers: 1}, sink); err != nil || n != rows {
			b.Fatal(n, err)
		}
	}
	b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

// BenchmarkReadUserList reads a deletion list of 1 M ids.
func BenchmarkReadUserList(b *testing.B) {
	list := []byte("USER_ID\n")
	for i := range 1_000_000 {
		list = append(list, "user-"...)
		list = strconv.AppendInt(list, int64(i*7919%1_000_003), 10)
		list = append(list, '\n')
	}
	b.SetBytes(int64(len(list)))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		if err := rowtext.ReadUserList(context.Background(), "", bytes.NewReader(list), func(string) { n++ }); err != nil || n != 1_000_000 {
			b.Fatal(n, err)
		}
	}
}
