// Command engine measures the dataset engine on generated interactions: reading the CSV with encoding/csv alone (what the figures are compared with) and
// copying it, import, training read, export, erasure of ten users and of one per cent of them, and imports of wide tables.
//
//	go run ./bench/engine -rows 5000000
//
// It prints a table in Markdown: for each step the CPU seconds of the process (user and system, all threads), elapsed seconds, the peak of resident memory
// during the step and the CPU time as a multiple of encoding/csv's in the same run. The wide tables are made within their steps: only their memory counts.
package main

import (
	"context"
	"database/sql"
	"encoding/csv"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/pprof"
	"strings"

	_ "modernc.org/sqlite"

	"github.com/palate-dev/palate/bench/internal/measure"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/rowtext"
	"github.com/palate-dev/palate/internal/schema"
	"github.com/palate-dev/palate/internal/userset"
	"github.com/palate-dev/palate/internal/verify"
)

func main() {
	rows := flag.Int("rows", 5_000_000, "interactions to generate")
	dir := flag.String("dir", "", "where to work (default: a temporary directory)")
	only := flag.String("steps", "", "run only the steps whose names match this regular expression, beside encoding/csv and the first import")
	profile := flag.String("profile", "", "write CPU profiles of the steps to files with this prefix")
	var p pieces
	flag.IntVar(&p.imports, "imports", 0, "compare reads of one import with reads of the same rows of which so many came in imports of 1,000 rows ...")
	flag.IntVar(&p.events, "events", 0, "... and so many were put as events")
	flag.Parse()
	if err := run(*rows, p, *dir, *only, *profile); err != nil {
		log.Fatal(err)
	}
}

func run(rows int, p pieces, dir, only, profile string) error {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	if dir == "" {
		tmp, err := os.MkdirTemp("", "bench-engine-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(tmp)
		dir = tmp
	}
	if dir, err = filepath.Abs(dir); err != nil { // the embedded S3 has a working directory of its own
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	in, err := generate(filepath.Join(dir, "interactions.csv"), rows+p.rows())
	if err != nil {
		return err
	}
	defer os.Remove(in.path)
	fmt.Printf("%d rows, %d users, %d items, %.0f MB CSV; %d cores, %s\n\n", rows, in.users, in.items, float64(in.size)/1e6, runtime.NumCPU(), runtime.Version())
	fmt.Println("| step | CPU s | elapsed s | peak MB | ratio | result |\n|---|---|---|---|---|---|")

	dir = filepath.Join(dir, "data") // verification wants to know every file in it
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	b := &bench{in: in, data: dir, profile: profile, table: dataset.Table{Group: "bench", ID: "interactions", Schema: ratings()}}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "meta.db")+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return err
	}
	defer db.Close()
	if b.engine, err = dataset.Open(filepath.Join(dir, "store"), db, slog.New(slog.NewTextHandler(os.Stderr, nil))); err != nil {
		return err
	}
	defer b.engine.Close()
	if p != (pieces{}) {
		return b.compaction(p, rows)
	}
	if err := b.engine.CreateTable(context.Background(), b.table); err != nil {
		return err
	}
	for _, s := range []struct {
		name string
		f    func(context.Context) (string, error)
	}{
		{"encoding/csv", b.baseline},
		{"plain copy", b.copyFile},
		{"import (FULL)", b.load},
		{"training read", b.train},
		{"export ALL", b.export},
		{"export ALL through S3", b.exportToS3},
		{"erase 10 users", func(ctx context.Context) (string, error) { return b.erase(ctx, "ten", in.ten) }},
		{"erase 1 % of users", func(ctx context.Context) (string, error) { return b.erase(ctx, "percent", in.percent) }},
		{"verify 1 %", b.verify},
		{"import again (FULL)", b.load},
		{"import, 100 columns", b.importColumns},
		{"import, texts of 20 KB", b.importTexts},
	} {
		if b.loads > 0 && !wanted.MatchString(s.name) {
			continue
		}
		if err := b.measure(s.name, s.f); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

func ratings() *schema.Schema {
	return &schema.Schema{Type: schema.Interactions, Fields: []schema.Field{
		{Name: "USER_ID"}, {Name: "ITEM_ID"}, {Name: "TIMESTAMP", Kind: schema.Long}, {Name: "EVENT_TYPE", Nullable: true},
		{Name: "EVENT_VALUE", Kind: schema.Float, Nullable: true},
	}}
}

// bench is one run over one generated file.
type bench struct {
	in      input
	data    string // the data directory
	engine  *dataset.Engine
	table   dataset.Table
	profile string
	base    float64 // CPU seconds of encoding/csv
	loads   int
}

// measure runs one step and prints its line.
func (b *bench) measure(name string, f func(context.Context) (string, error)) error {
	if b.profile != "" {
		out, err := os.Create(b.profile + strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
				return r
			}
			return '-'
		}, name))
		if err != nil {
			return err
		}
		defer out.Close()
		if err := pprof.StartCPUProfile(out); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	var result string
	cost, err := measure.Step(func() (err error) {
		result, err = f(context.Background())
		return err
	})
	if err != nil {
		return err
	}
	if b.base == 0 {
		b.base = cost.CPU
	}
	fmt.Printf("| %s | %.2f | %.2f | %.0f | %.2f | %s |\n", name, cost.CPU, cost.Wall, cost.Peak, cost.CPU/b.base, result)
	return nil
}

// baseline reads the file with the standard library and does nothing with it.
func (b *bench) baseline(context.Context) (string, error) {
	f, err := os.Open(b.in.path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.ReuseRecord = true
	n := 0
	for {
		if _, err := r.Read(); err == io.EOF {
			return fmt.Sprintf("%d records", n), nil
		} else if err != nil {
			return "", err
		}
		n++
	}
}

// object is the generated file as an import sees it.
type object struct{ in input }

func (o object) Name() string                                { return "interactions.csv" }
func (o object) Size() int64                                 { return o.in.size }
func (o object) Open(context.Context) (io.ReadCloser, error) { return os.Open(o.in.path) }

func (b *bench) load(ctx context.Context) (string, error) {
	b.loads++
	n, err := b.engine.Import(ctx, b.table, dataset.Import{Job: fmt.Sprint("load-", b.loads), Objects: []rowtext.Object{object{b.in}}})
	return fmt.Sprintf("%d rows", n), err
}

func (b *bench) train(ctx context.Context) (string, error) {
	ev, err := b.engine.Events(ctx, b.table)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d events, %d users, %d items", ev.Len(), len(ev.Users), len(ev.Items)), nil
}

func (b *bench) export(ctx context.Context) (string, error) {
	size := int64(0)
	n, err := b.engine.Export(ctx, b.table, dataset.ExportAll, nil, func(part int, r io.Reader) error {
		k, err := io.Copy(io.Discard, r)
		size += k
		return err
	})
	return fmt.Sprintf("%d rows, %.0f MB", n, float64(size)/1e6), err
}

// erase is the data phase of a deletion job: fence, hide, erase, sweep.
func (b *bench) erase(ctx context.Context, job string, users []string) (string, error) {
	cut, err := b.engine.Fence(ctx, b.table.Group)
	if err != nil {
		return "", err
	}
	if err := b.engine.Hide(ctx, b.table.Group, job, userset.New(users), cut); err != nil {
		return "", err
	}
	removed, err := b.engine.Erase(ctx, []dataset.Table{b.table}, job, nil)
	if err != nil {
		return "", err
	}
	if err := b.engine.Sweep(ctx, b.table.Group, job); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d rows of %d users", removed[b.table.ID], len(users)), nil
}

func (b *bench) verify(ctx context.Context) (string, error) {
	users, cut, err := b.engine.HiddenUsers(b.table.Group, "percent")
	if err != nil {
		return "", err
	}
	return "clean", verify.Run(ctx, verify.Search{
		Data: b.data, Group: b.table.Group, Users: users, Sessions: userset.New(nil), Cut: cut, Store: b.engine,
	})
}
