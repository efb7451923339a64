package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/rowtext"
	"github.com/palate-dev/palate/internal/schema"
)

// wideBytes is about how much CSV each wide table has.
const wideBytes = 300 << 20

// importColumns imports interactions of a hundred columns, of all kinds, full and empty, repeating and not.
func (b *bench) importColumns(ctx context.Context) (string, error) {
	s := ratings()
	kinds := []schema.Kind{schema.String, schema.Long, schema.Float, schema.Boolean, schema.String}
	for i := len(s.Fields); i < 100; i++ {
		s.Fields = append(s.Fields, schema.Field{Name: fmt.Sprint("COLUMN_", i), Kind: kinds[i%len(kinds)], Nullable: true})
	}
	random := rand.New(rand.NewPCG(3, 4))
	return b.importWide(ctx, "columns", s, func(line []byte, row int) []byte {
		line = fmt.Appendf(line, "user-%d,item-%d,%d,view,", random.IntN(100_000), random.IntN(50_000), 1_700_000_000+row)
		for i, f := range s.Fields[5:] {
			line = append(line, ',')
			switch {
			case random.IntN(4) == 0:
			case f.Kind == schema.Long:
				line = fmt.Append(line, random.Int64N(1<<40))
			case f.Kind == schema.Float:
				line = fmt.Append(line, float64(random.IntN(100_000))/64)
			case f.Kind == schema.Boolean:
				line = fmt.Append(line, row%2 == 0)
			case i%2 == 0:
				line = fmt.Appendf(line, "value-%d", random.IntN(1000))
			default:
				line = fmt.Appendf(line, "text %d of its own", random.Uint32())
			}
		}
		return append(line, '\n')
	})
}

// importTexts imports items whose textual field has the length that it may have at most.
func (b *bench) importTexts(ctx context.Context) (string, error) {
	s := &schema.Schema{Type: schema.Items, Fields: []schema.Field{{Name: "ITEM_ID"}, {Name: "DESCRIPTION", Nullable: true, Textual: true}}}
	random := rand.New(rand.NewPCG(5, 6))
	words := strings.Fields("the of a lantern river winter stolen garden paper machine quiet letters an old mountain under glass house with two")
	return b.importWide(ctx, "texts", s, func(line []byte, row int) []byte {
		line = fmt.Appendf(line, "item-%d,", row)
		for end := len(line) + 19_900; len(line) < end; {
			line = append(append(line, words[random.IntN(len(words))]...), ' ')
		}
		return append(line, '\n')
	})
}

func (b *bench) importWide(ctx context.Context, name string, s *schema.Schema, row func(line []byte, row int) []byte) (string, error) {
	path := filepath.Join(filepath.Dir(b.in.path), name+".csv")
	defer os.Remove(path)
	size, err := writeWide(path, s, row)
	if err != nil {
		return "", err
	}
	table := dataset.Table{Group: b.table.Group, ID: name, Schema: s}
	if err := b.engine.CreateTable(ctx, table); err != nil {
		return "", err
	}
	n, err := b.engine.Import(ctx, table, dataset.Import{Job: name, Objects: []rowtext.Object{object{input{path: path, size: size}}}})
	return fmt.Sprintf("%d rows, %.0f MB", n, float64(size)/1e6), err
}

func writeWide(path string, s *schema.Schema, row func(line []byte, row int) []byte) (size int64, err error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	line := rowtext.AppendCSVHeader(nil, s)
	for i := 0; size < wideBytes; i++ {
		n, err := w.Write(line)
		if err != nil {
			return 0, err
		}
		size += int64(n)
		line = row(line[:0], i)
	}
	return size, w.Flush()
}
