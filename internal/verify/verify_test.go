package verify_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/rowtext"
	"github.com/palate-dev/palate/internal/schema"
	"github.com/palate-dev/palate/internal/userset"
	"github.com/palate-dev/palate/internal/verify"
)

// gone is the user that nothing may hold.
const gone = "canary-gone-0001"

// fixture is a data directory with one group in use, in which gone never was.
type fixture struct {
	*dataset.Engine
	t      *testing.T
	dir    string
	db     *sql.DB
	table  dataset.Table
	models map[string]verify.Use
	memory map[string]string // planted ids by place
	ours   string
}

type object string

func (o object) Name() string { return "o" }
func (o object) Size() int64  { return int64(len(o)) }
func (o object) Open(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(string(o))), nil
}

func open(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, dir: t.TempDir(), models: map[string]verify.Use{}, memory: map[string]string{}, ours: "{}"}
	var err error
	f.db, err = sql.Open("sqlite", "file:"+filepath.Join(f.dir, "meta.db")+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=secure_delete(ON)")
	if err != nil {
		t.Fatal(err)
	}
	f.Engine, err = dataset.Open(filepath.Join(f.dir, "store"), f.db, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close(); f.db.Close() })
	f.table = dataset.Table{Group: "g1", ID: "t1", Schema: &schema.Schema{Type: schema.Interactions, Fields: []schema.Field{
		{Name: "USER_ID"}, {Name: "ITEM_ID"}, {Name: "TIMESTAMP", Kind: schema.Long}}}}
	if err := f.CreateTable(t.Context(), f.table); err != nil {
		t.Fatal(err)
	}
	f.load("canary-kept-0001,i1,5\ncanary-kept-0002,i2,6\n")
	f.put("canary-kept-0003")
	f.write("palate.lock", "")
	f.write("store/models/model-1/manifest.json", `{"seq":1,"arrays":[{"name":"user.text"},{"name":"user.offsets"},{"name":"users.id.text"},{"name":"users.id.offsets"},{"name":"event.time"}]}`)
	f.write("store/models/model-1/event.time", "12345678")
	f.modelUsers("user", "canary-kept-0001", "canary-kept-0002")
	f.modelUsers("users.id", "canary-kept-0001", "canary-kept-0003")
	f.models["model-1"] = verify.Serving
	return f
}

func (f *fixture) load(rows string) {
	f.t.Helper()
	imp := dataset.Import{Job: fmt.Sprint("j", time.Now().UnixNano()), Incremental: true, Objects: []rowtext.Object{object("USER_ID,ITEM_ID,TIMESTAMP\n" + rows)}}
	if _, err := f.Import(f.t.Context(), f.table, imp); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) put(user string) {
	f.t.Helper()
	row := dataset.Row{Values: []schema.Value{{Valid: true, Str: user}, {Valid: true, Str: "i"}, {Valid: true, Int: 7}}, Session: "s", EventID: "e"}
	if err := f.Put(f.t.Context(), f.table, []dataset.Row{row}); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) write(rel, text string) {
	f.t.Helper()
	path := filepath.Join(f.dir, filepath.FromSlash(rel))
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) modelUsers(table string, users ...string) {
	f.t.Helper()
	ends := make([]byte, 8)
	for n := range users {
		ends = binary.LittleEndian.AppendUint64(ends, uint64(len(strings.Join(users[:n+1], ""))))
	}
	f.write("store/models/model-1/"+table+".text", strings.Join(users, ""))
	f.write("store/models/model-1/"+table+".offsets", string(ends))
}

// change rewrites the only file of a pattern.
func (f *fixture) change(pattern string, edit func([]byte) []byte) {
	f.t.Helper()
	found, err := filepath.Glob(filepath.Join(f.dir, pattern))
	if err != nil || len(found) == 0 {
		f.t.Fatalf("no file %s (%v)", pattern, err)
	}
	text, err := os.ReadFile(found[0])
	if err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(found[0], edit(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func appendID(text []byte) []byte { return append(text, gone...) }

// Remembered adds what a test has planted.
func (f *fixture) Remembered(group string, yield func(place, key, session string, seq int64)) error {
	err := f.Engine.Remembered(group, yield)
	for place, id := range f.memory {
		yield(place, id, "", 1)
	}
	return err
}

func (f *fixture) StillModel(_ context.Context, name string, look func(verify.Use) error) error {
	return look(f.models[name])
}

// search looks for users, up to any sequence number.
func (f *fixture) search(users ...string) error {
	return verify.Run(f.t.Context(), verify.Search{Data: f.dir, Group: "g1", Users: userset.New(users), Sessions: userset.New(nil), Cut: math.MaxInt64,
		Store: f, Models: f, Rows: func(context.Context) ([]byte, []byte, error) {
			return []byte(f.ours), []byte("s3://lists/canary-named-0001.csv"), nil
		}})
}

// shownFile is a record of answers of g1 with an answer whose item stayed when g1 was forgotten.
var shownFile = func() string {
	payload := "\x01\x06\x02ar\x02g1" + "\x02\x15" + strings.Repeat("\x07", 16) + "\x00\x01\x01\x01i" + "\x04\x03\x02g1"
	head := binary.LittleEndian.AppendUint32([]byte("PALSHOW1"), uint32(len(payload)))
	head = binary.LittleEndian.AppendUint32(head, crc32.Checksum([]byte(payload), crc32.MakeTable(crc32.Castagnoli)))
	return string(head) + payload
}()

// leaks plants one trace of gone in every place of the registry.
var leaks = map[string]func(f *fixture){
	"lock file": func(f *fixture) { f.write("palate.lock", gone) },
	"metadata database": func(f *fixture) {
		for _, statement := range []string{"CREATE TABLE leak (id TEXT)", "INSERT INTO leak VALUES ('" + gone + "')", "PRAGMA wal_checkpoint(TRUNCATE)"} {
			if _, err := f.db.Exec(statement); err != nil {
				f.t.Fatal(err)
			}
		}
	},
	"metadata database, write-ahead log": func(f *fixture) { f.change("meta.db-wal", appendID) },
	"metadata database, shared memory":   func(f *fixture) { f.change("meta.db-shm", appendID) },
	"unfinished file":                    func(f *fixture) { f.write("store/groups/g1/log/.tmp-123", gone) },
	"event log":                          func(f *fixture) { f.put(gone) },
	"tally of metrics": func(f *fixture) {
		f.write("store/groups/g1/tally/sums.json", `{"folded":1,"series":[{"metric":"1","source":"mail to `+gone+`","events":9,"value":9,"windows":[]}]}`)
	},
	"table file": func(f *fixture) { f.load(gone + ",i1,5\n") },
	"table metadata": func(f *fixture) {
		f.change("store/groups/g1/tables/t1/metadata/*.metadata.json", func(text []byte) []byte {
			escaped := strings.ReplaceAll(gone, "c", `\u0063`)
			return append([]byte(`{"note":"`+escaped+`",`), bytes.TrimPrefix(bytes.TrimSpace(text), []byte("{"))...)
		})
	},
	"manifest": func(f *fixture) {
		f.change("store/groups/g1/tables/t1/metadata/snap-*.avro", func(text []byte) []byte {
			entry := append([]byte{2, 2, 'x', byte(2 * len(gone))}, gone...) // a block of the header's map
			return append(append([]byte("Obj\x01"), entry...), text[4:]...)
		})
	},
	otherEngines:       func(f *fixture) { f.incoming("a.parquet", gone, 1) },
	"staging":          func(f *fixture) { f.write("store/groups/g1/staging/x/7.spill", gone) },
	"ended list":       func(f *fixture) { f.write("store/groups/g1/erasing/.ended-job/users", gone) },
	"list of users":    func(f *fixture) { f.write("store/groups/g1/erasing/job/users", gone) },
	"list of sessions": func(f *fixture) { f.write("store/groups/g1/erasing/job/sessions", gone) },
	"late-event filter": func(f *fixture) {
		f.write("store/groups/g1/late/job", string(binary.LittleEndian.AppendUint64([]byte("PALLATE1"), uint64(time.Now().Unix())+3600))+gone)
	},
	"record of answers":            func(f *fixture) { f.write("answers/0000000000000000.shown", shownFile) },
	"unfinished record of answers": func(f *fixture) { f.write("answers/.tmp-1", gone) },
	"receipt":                      func(f *fixture) { f.write("receipts/00000001.json", gone) },
	"salt of a receipt":            func(f *fixture) { f.write("receipts/00000001.salt", gone) },
	"signing key":                  func(f *fixture) { f.write("receipts/signing-key.pem", gone) },
	"unfinished receipt":           func(f *fixture) { f.write("receipts/.tmp-1", gone) },
	"model":                        func(f *fixture) { f.modelUsers("user", "canary-kept-0001", gone) },
	"model, attributes":            func(f *fixture) { f.modelUsers("users.id", "canary-kept-0001", gone) },
	"streamed rows in memory":      func(f *fixture) { f.memory["streamed rows in memory"] = gone },
	"live events in memory":        func(f *fixture) { f.memory["live events in memory"] = gone },
	"imported events in memory":    func(f *fixture) { f.memory["imported events in memory"] = gone },
	"records in memory":            func(f *fixture) { f.memory["records in memory"] = gone },
}

// notLookedAt are the places in which a trace is no leak.
var notLookedAt = map[string]func(f *fixture){
	"customers' buckets":               func(f *fixture) { f.write("buckets/b/"+gone+".csv", gone) },
	"attributes of objects in buckets": func(f *fixture) { f.write("buckets.meta/b/"+gone+".csv/meta/etag", gone) },
	"dropped dataset group":            func(f *fixture) { f.write("store/groups/.dropped-g9/tables/t/data/x.parquet", gone) },
}

func TestALeakInEveryKindOfPlaceIsCaught(t *testing.T) {
	for _, p := range verify.Places() {
		t.Run(p.Name, func(t *testing.T) {
			f := open(t)
			if err := f.search(gone); err != nil {
				t.Fatalf("found before anything was planted: %v", err)
			}
			if plant, ok := notLookedAt[p.Name]; ok {
				plant(f)
				if err := f.search(gone); err != nil {
					t.Fatal(err)
				}
				return
			}
			plant, ok := leaks[p.Name]
			if !ok {
				t.Fatal("this row of the registry has no planted leak in the test")
			}
			plant(f)
			err := f.search(gone)
			if !errors.Is(err, verify.ErrFound) {
				t.Fatalf("the leak was not caught: %v", err)
			}
			if !strings.Contains(err.Error(), p.Name) || strings.Contains(err.Error(), "canary") {
				t.Errorf("the error must name the place and no id: %v", err)
			}
		})
	}
}

func TestFilesThatNobodyClaimsAreFound(t *testing.T) {
	for _, rel := range []string{
		"notes.txt", gone, gone + "/x", "store/x", "store/groups/g1/x", "store/groups/g1/log/x.txt", "store/groups/g1/tables/t9/data/x.parquet", "store/groups/g1/tables/t1/x",
		"store/groups/g1/tables/t1/data/bulk-0000-x.parquet", "store/groups/g1/tables/t1/data/x.crc", "store/groups/g1/tables/t1/metadata/x.avro",
		"store/groups/g1/tables/t1/metadata/v9.metadata.json", "store/groups/g1/erasing/x", "store/groups/g1/late/a/b", "store/models/model-9/manifest.json",
		"store/models/model-1/more", "store/models/x", "store/groups/g1/staging/x",
	} {
		t.Run(strings.ReplaceAll(rel, "/", "_"), func(t *testing.T) {
			f := open(t)
			f.write(rel, "x")
			if err := f.search(gone); !errors.Is(err, verify.ErrFound) || strings.Contains(err.Error(), gone) {
				t.Errorf("a stray file: %v", err)
			}
		})
	}
}

func TestAFileThatIsOnItsWayOutIsWaitedFor(t *testing.T) {
	f := open(t)
	f.write("store/groups/g1/log/.tmp-1", gone)
	done := make(chan error)
	go func() {
		done <- verify.Run(t.Context(), verify.Search{Data: f.dir, Group: "g1", Users: userset.New([]string{gone}), Sessions: userset.New(nil),
			Store: f, Models: f, Patience: time.Minute})
	}()
	if err := os.Remove(filepath.Join(f.dir, "store/groups/g1/log/.tmp-1")); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// What comes in after the cut under a listed id is a new user's, in the log, in tables, and in models that are trained later.
func TestWhoComesBackIsNoLeak(t *testing.T) {
	f := open(t)
	cut, err := f.Fence(t.Context(), "g1")
	if err != nil {
		t.Fatal(err)
	}
	f.put(gone)
	f.load(gone + ",i1,5\n")
	f.write("store/models/model-1/manifest.json", fmt.Sprintf(`{"seq":%d,"arrays":[{"name":"user.text"},{"name":"user.offsets"},{"name":"users.id.text"},{"name":"users.id.offsets"},{"name":"event.time"}]}`, cut+5))
	f.modelUsers("user", "canary-kept-0001", gone)
	search := verify.Search{Data: f.dir, Group: "g1", Users: userset.New([]string{gone}), Sessions: userset.New(nil), Cut: cut, Store: f, Models: f}
	if err := verify.Run(t.Context(), search); err != nil {
		t.Error(err)
	}
	search.Users = userset.New([]string{gone, "canary-kept-0001"})
	if err := verify.Run(t.Context(), search); !errors.Is(err, verify.ErrFound) {
		t.Errorf("a user of the old rows: %v", err)
	}
}

// A customer may name a list after the user in it. That is his word, not ours.
func TestAnIDInACustomersNameIsNoLeak(t *testing.T) {
	f := open(t)
	if _, err := f.db.Exec("CREATE TABLE docs (doc TEXT)"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.db.Exec("INSERT INTO docs VALUES ('s3://lists/canary-named-0001.csv')"); err != nil {
		t.Fatal(err)
	}
	f.write("receipts/00000001.json", `{"receipt":{"dataDeletionJobArn":"arn:aws:personalize:us-east-1:000000000000:data-deletion-job/canary-named-0001"}}`)
	if err := f.search("canary-named-0001"); err != nil {
		t.Error(err)
	}
	f.ours = `{"checkpoint":"` + gone + `"}`
	if err := f.search(gone); !errors.Is(err, verify.ErrFound) {
		t.Errorf("an id in a checkpoint: %v", err)
	}
}
