package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/rowtext"
	"github.com/palate-dev/palate/internal/schema"
)

// pieces is how the rows of the compaction benchmark come in: most by one import, then many small imports, then events.
type pieces struct {
	imports int // of importRows each
	events  int
}

func (p pieces) rows() int { return p.imports*importRows + p.events }

const (
	importRows = 1000
	putRows    = 500 // rows of one Put
)

// compaction compares reads of a table that was filled in pieces with reads of one that was filled by one import of the same rows. The file's last rows are
// the pieces.
func (b *bench) compaction(p pieces, rows int) error {
	cuts, err := cutLines(b.in.path, rows, p.imports)
	if err != nil {
		return err
	}
	one, many := b.table, b.table
	one.Group, many.Group = "one", "many"
	for _, t := range []dataset.Table{one, many} {
		if err := b.engine.CreateTable(context.Background(), t); err != nil {
			return err
		}
	}
	read := func(t dataset.Table, what func(context.Context) (string, error)) func(context.Context) (string, error) {
		return func(ctx context.Context) (string, error) {
			b.table = t
			return what(ctx)
		}
	}
	writing := func(what func(context.Context) (string, error)) func(context.Context) (string, error) {
		return func(ctx context.Context) (string, error) {
			before := written()
			result, err := what(ctx)
			return fmt.Sprintf("%s, %.0f MB written", result, float64(written()-before)/1e6), err
		}
	}
	steps := []struct {
		name string
		f    func(context.Context) (string, error)
	}{
		{"encoding/csv", b.baseline},
		{"one import", read(one, b.load)},
		{"first import", func(ctx context.Context) (string, error) { return b.loadSection(ctx, many, false, "first", 0, cuts[0]) }},
		{"small imports", writing(func(ctx context.Context) (string, error) {
			for i := range p.imports {
				if _, err := b.loadSection(ctx, many, true, fmt.Sprint("small-", i), cuts[i], cuts[i+1]); err != nil {
					return "", err
				}
			}
			return fmt.Sprintf("%d imports", p.imports), nil
		})},
		{"put and fold", writing(func(ctx context.Context) (string, error) { return b.putFrom(ctx, many, cuts[len(cuts)-1]) })},
		{"compaction at rest", writing(func(ctx context.Context) (string, error) { return b.settle(many) })},
		{"export, one", read(one, b.export)}, {"export, pieces", read(many, b.export)},
		{"training read, one", read(one, b.train)}, {"training read, pieces", read(many, b.train)},
	}
	for range 2 { // reads vary more than their difference should
		steps = append(steps, steps[6:10]...)
	}
	for _, s := range steps {
		if err := b.measure(s.name, s.f); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// cutLines returns the offset after the header and the first rows of a file, and after each further importRows rows.
func cutLines(path string, first, pieces int) (cuts []int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<20)
	at, next := int64(0), first+1
	for n := 1; len(cuts) <= pieces; n++ {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return nil, errors.Join(errors.New("the file has too few rows for these pieces"), err)
		}
		if at += int64(len(line)); n == next {
			cuts, next = append(cuts, at), next+importRows
		}
	}
	return cuts, nil
}

const csvHeader = "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE\n"

// section is some lines of the generated file as an object of its own.
type section struct {
	path     string
	from, to int64
}

func (s section) Name() string { return "interactions.csv" }

func (s section) Size() int64 {
	if s.from == 0 {
		return s.to
	}
	return s.to - s.from + int64(len(csvHeader))
}

func (s section) Open(context.Context) (io.ReadCloser, error) {
	f, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	r := io.Reader(io.NewSectionReader(f, s.from, s.to-s.from))
	if s.from > 0 {
		r = io.MultiReader(bytes.NewReader([]byte(csvHeader)), r)
	}
	return struct {
		io.Reader
		io.Closer
	}{r, f}, nil
}

func (b *bench) loadSection(ctx context.Context, t dataset.Table, incremental bool, job string, from, to int64) (string, error) {
	n, err := b.engine.Import(ctx, t, dataset.Import{Job: job, Incremental: incremental, Objects: []rowtext.Object{section{b.in.path, from, to}}})
	return fmt.Sprintf("%d rows", n), err
}

// putFrom streams the rest of the file as events with eventIds and sessions, eight events a session, and has them folded.
func (b *bench) putFrom(ctx context.Context, t dataset.Table, from int64) (string, error) {
	f, err := os.Open(b.in.path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return "", err
	}
	r := csv.NewReader(f)
	var rows []dataset.Row
	sessions := make(map[string]int) // events of each user so far
	n := 0
	put := func() error {
		for {
			err := b.engine.Put(ctx, t, rows)
			if !errors.Is(err, dataset.ErrBusy) {
				rows = nil
				return err
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	for ; ; n++ {
		rec, err := r.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return "", err
		}
		sessions[rec[0]]++
		row := dataset.Row{Session: fmt.Sprintf("s-%s-%06d", rec[0], sessions[rec[0]]/8), EventID: fmt.Sprintf("%016x-%016x", uint64(n+1)*0x9E3779B97F4A7C15, n)}
		at, err := strconv.ParseInt(rec[2], 10, 64)
		if err != nil {
			return "", err
		}
		row.Values = []schema.Value{{Valid: true, Str: rec[0]}, {Valid: true, Str: rec[1]}, {Valid: true, Int: at}, {Valid: true, Str: rec[3]}, {}}
		if rec[4] != "" {
			if row.Values[4].Float, err = strconv.ParseFloat(rec[4], 64); err != nil {
				return "", err
			}
			row.Values[4].Valid = true
		}
		if rows = append(rows, row); len(rows) == putRows {
			if err := put(); err != nil {
				return "", err
			}
		}
	}
	if len(rows) > 0 {
		if err := put(); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d events", n), b.engine.Sweep(ctx, t.Group, "fold")
}

// written is how many bytes the process has handed to the system so far, zeros over destroyed files among them; 0 if the system does not say.
func written() (n int64) {
	status, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if k, _ := fmt.Sscanf(line, "wchar: %d", &n); k == 1 {
			return n
		}
	}
	return 0
}

// settleTime is longer than a table needs to come to rest and than the compaction works on one commit.
const settleTime = 20 * time.Second

// settle waits until the background has left the table's files alone for a while.
func (b *bench) settle(t dataset.Table) (string, error) {
	dir := filepath.Join(b.data, "store", "groups", t.Group, "tables", t.ID, "data")
	for last, since := 0, time.Now(); ; time.Sleep(100 * time.Millisecond) {
		files, err := os.ReadDir(dir)
		if err != nil {
			return "", err
		}
		if len(files) != last {
			last, since = len(files), time.Now()
		}
		if time.Since(since) > settleTime {
			return fmt.Sprintf("%d data files", last), nil
		}
	}
}
