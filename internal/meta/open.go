package meta

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// busyTimeout is how long a writer waits for another connection's transaction. Ours are milliseconds long; a wait that reaches it is a hang.
const busyTimeout = 30 * time.Second

//go:embed migrations/*.sql
var migrations embed.FS

// DB is the database. It is safe for concurrent use.
type DB struct {
	write   *sql.DB          // one connection, so that our writers queue up in memory and not in SQLite's busy loop
	read    *sql.DB          // query_only
	catalog *sql.DB          // what SQL hands out
	now     func() time.Time // the wall clock, which may be set
	steady  func() time.Time // for leases: ticks whatever happens to the wall clock; means nothing outside of the process
	notices int              // see KeepNotices

	mu      sync.Mutex
	version uint64
	changed chan struct{} // closed and replaced when version grows
}

// Open opens the database file at path, creates it if it is not there, and brings it to this build's schema.
// The caller holds the lock of the data directory: one process writes.
func Open(path string) (*DB, error) {
	if err := create(path); err != nil {
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	db := &DB{now: time.Now, steady: steadyClock(), changed: make(chan struct{})}
	var err error
	if db.write, err = connect(path, 1, "_txlock=immediate"); err != nil {
		return nil, err
	}
	if err := migrate(db.write); err != nil {
		return nil, errors.Join(fmt.Errorf("migrate %s: %w", path, err), db.Close())
	}
	if err := reserveLog(db.write, path+"-wal"); err != nil {
		return nil, errors.Join(fmt.Errorf("reserve room for %s: %w", path, err), db.Close())
	}
	if db.read, err = connect(path, 8, "_pragma=query_only(1)"); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if db.catalog, err = connect(path, 8, "_txlock=immediate"); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// steadyClock begins with the wall clock and goes on by monotonic time.
func steadyClock() func() time.Time {
	began := time.Now()
	return func() time.Time { return began.Add(time.Since(began)) }
}

// OpenReadOnly opens an existing database beside the process that writes it. Update, and whatever else would write, fails.
func OpenReadOnly(path string) (*DB, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	pool, err := connect(path, 1, "_pragma=query_only(1)")
	if err != nil {
		return nil, err
	}
	db := &DB{write: pool, read: pool, catalog: pool, now: time.Now, steady: steadyClock(), changed: make(chan struct{})}
	version, want := 0, len(migrationNames())
	if err := pool.QueryRow(`PRAGMA user_version`).Scan(&version); err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", path, err), db.Close())
	}
	if version != want {
		return nil, errors.Join(fmt.Errorf("read %s: its format is %d, this build reads %d", path, version, want), db.Close())
	}
	return db, nil
}

// Close closes all connections; the last one folds the write-ahead log into the file.
func (db *DB) Close() error {
	var errs []error
	for _, pool := range []*sql.DB{db.catalog, db.read, db.write} {
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	return errors.Join(errs...)
}

// SQL returns a pool on the same database for a user with tables of its own, the Iceberg catalog. Its writing transactions begin
// IMMEDIATE: they wait for ours, and ours for them, but never for each other.
func (db *DB) SQL() *sql.DB { return db.catalog }

// create makes an empty, private file and its directory entry durable; SQLite syncs the directory for its logs only.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// connect opens a pool whose every connection has our settings. mode=rw: a file that is not there is an error, never an empty database.
func connect(path string, conns int, extra string) (*sql.DB, error) {
	dsn := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}
	dsn.RawQuery = fmt.Sprintf("mode=rw&_pragma=busy_timeout(%d)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=secure_delete(ON)&_pragma=foreign_keys(ON)&%s",
		busyTimeout.Milliseconds(), extra)
	pool, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	return pool, nil // it connects when it is used first
}

// logRoom is the least length of the write-ahead log. SQLite begins at its front again after 4 MB.
const logRoom = 5 << 20

// reserveLog makes the write-ahead log long before it is needed, so that what becomes of jobs can be written down when the disk has filled up. SQLite writes
// over what is there, and takes what follows its last frame for nothing. A disk that is full by now gives what it has.
func reserveLog(pool *sql.DB, path string) error {
	tx, err := pool.BeginTx(context.Background(), nil) // nobody else writes meanwhile, another engine on the catalog least of all
	if err != nil {
		return err
	}
	defer tx.Rollback()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	for zeros := make([]byte, 1<<20); size < logRoom; {
		n, err := f.Write(zeros[:min(logRoom-size, int64(len(zeros)))])
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			break
		}
		if err != nil {
			return err
		}
		size += int64(n)
	}
	return nil
}

func migrationNames() []string {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	return names // sorted: 001, 002, ...
}

// migrate runs the scripts that the file has not seen, all in one transaction: a crash leaves the old version whole.
func migrate(pool *sql.DB) error {
	tx, err := pool.BeginTx(context.Background(), nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // no effect after Commit
	var version int
	if err := tx.QueryRow(`PRAGMA user_version`).Scan(&version); err != nil {
		return err
	}
	names := migrationNames()
	if version > len(names) {
		return fmt.Errorf("its format is %d, this build knows up to %d: use a newer palate", version, len(names))
	}
	if version == len(names) {
		return nil
	}
	for _, name := range names[version:] {
		text, err := migrations.ReadFile(name)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(string(text)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if _, err := tx.Exec(fmt.Sprintf(`PRAGMA user_version = %d`, len(names))); err != nil {
		return err
	}
	return tx.Commit()
}
