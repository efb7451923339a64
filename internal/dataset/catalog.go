package dataset

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	icebergio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"github.com/palate-dev/palate/internal/blob"
)

// catalog keeps the pointers to the current metadata of all tables in the tables that Iceberg's JDBC catalogs share (schema version V1), so that other
// engines can open them. It differs from a general catalog in three promises: every file that a pointer leads to is durable before the pointer moves,
// metadata never lists a snapshot but the current one, because an older snapshot would keep erased rows alive, and it remembers beside each pointer which
// metadata palate itself has written last, so that a commit of another engine is noticed, looked through and taken over (foreign.go) and never built upon.
type catalog struct {
	db *sql.DB
	fs storeIO
}

// catalogTables is the DDL of the JDBC catalog, which is the same for every implementation of it.
const catalogTables = `
CREATE TABLE IF NOT EXISTS iceberg_tables (
	catalog_name VARCHAR NOT NULL, table_namespace VARCHAR NOT NULL, table_name VARCHAR NOT NULL,
	iceberg_type VARCHAR, metadata_location VARCHAR, previous_metadata_location VARCHAR,
	PRIMARY KEY (catalog_name, table_namespace, table_name));
CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (
	catalog_name VARCHAR NOT NULL, namespace VARCHAR NOT NULL, property_key VARCHAR NOT NULL, property_value VARCHAR,
	PRIMARY KEY (catalog_name, namespace, property_key));`

// ownTables lists our tables. metadata_location is the last that we wrote ourselves; outcome says what became of the last commit of another engine.
const ownTables = `
CREATE TABLE palate_tables (
	table_namespace VARCHAR NOT NULL, table_name VARCHAR NOT NULL, metadata_location VARCHAR NOT NULL, outcome VARCHAR, outcome_at INTEGER,
	PRIMARY KEY (table_namespace, table_name));
INSERT INTO palate_tables (table_namespace, table_name, metadata_location)
	SELECT table_namespace, table_name, metadata_location FROM iceberg_tables WHERE catalog_name = 'palate';`

func openCatalog(db *sql.DB, fs storeIO) (*catalog, error) {
	c := &catalog{db: db, fs: fs}
	err := c.atomically(context.Background(), func(tx *sql.Tx) error {
		if _, err := tx.Exec(catalogTables); err != nil {
			return err
		}
		var n int
		if err := tx.QueryRow(`SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'palate_tables'`).Scan(&n); err != nil || n > 0 {
			return err
		}
		_, err := tx.Exec(ownTables)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("create catalog tables: %w", err)
	}
	return c, nil
}

// atomically runs f in one transaction.
func (c *catalog) atomically(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := c.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // no effect after Commit
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// tables lists our tables as (group, id). What another engine has created in the catalog is not among them.
func (c *catalog) tables(ctx context.Context) (ids []table.Identifier, err error) {
	return c.list(ctx, `SELECT table_namespace, table_name FROM palate_tables ORDER BY 1, 2`)
}

// moved lists the tables whose pointer is not where we have left it.
func (c *catalog) moved(ctx context.Context) (ids []table.Identifier, err error) {
	return c.list(ctx, `SELECT o.table_namespace, o.table_name FROM palate_tables o LEFT JOIN iceberg_tables t
		ON t.catalog_name = 'palate' AND t.table_namespace = o.table_namespace AND t.table_name = o.table_name
		WHERE t.metadata_location IS NOT o.metadata_location ORDER BY 1, 2`)
}

func (c *catalog) list(ctx context.Context, query string) (ids []table.Identifier, err error) {
	rows, err := c.db.QueryContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var group, id string
		if err := rows.Scan(&group, &id); err != nil {
			return nil, fmt.Errorf("list tables: %w", err)
		}
		ids = append(ids, table.Identifier{group, id})
	}
	return ids, rows.Err()
}

// location returns where the last metadata of a table that we wrote stands.
func (c *catalog) location(ctx context.Context, id table.Identifier) (location string, err error) {
	err = c.db.QueryRowContext(ctx, `SELECT metadata_location FROM palate_tables WHERE table_namespace = ? AND table_name = ?`, id[0], id[1]).Scan(&location)
	if errors.Is(err, sql.ErrNoRows) {
		return "", ErrNoTable
	}
	if err != nil {
		return "", fmt.Errorf("read catalog: %w", err)
	}
	return location, nil
}

// pointer returns where the catalog says that the current metadata stands, whoever wrote it; "" if another engine has dropped or renamed the table.
func (c *catalog) pointer(ctx context.Context, id table.Identifier) (location string, err error) {
	var text sql.NullString
	err = c.db.QueryRowContext(ctx, `SELECT metadata_location FROM iceberg_tables WHERE catalog_name = 'palate' AND table_namespace = ? AND table_name = ?`,
		id[0], id[1]).Scan(&text)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("read catalog: %w", err)
	}
	return text.String, nil
}

// LoadTable implements table.CatalogIO. It loads the metadata that we wrote last.
func (c *catalog) LoadTable(ctx context.Context, id table.Identifier) (*table.Table, error) {
	location, err := c.location(ctx, id)
	if err != nil {
		return nil, err
	}
	text, err := c.fs.ReadFile(location)
	if err != nil {
		return nil, fmt.Errorf("read table metadata: %w", err)
	}
	meta, err := table.ParseMetadataBytes(text)
	if err != nil {
		return nil, fmt.Errorf("read table metadata: %w", err)
	}
	if meta, err = table.UpdateTableMetadata(meta, []table.Update{table.NewRemovePropertiesUpdate(foreignPaths)}, ""); err != nil {
		return nil, fmt.Errorf("read table metadata: %w", err)
	}
	return c.bind(id, meta, location, c), nil
}

// bind is a table whose commits go through the given catalog.
func (c *catalog) bind(id table.Identifier, meta table.Metadata, location string, to table.CatalogIO) *table.Table {
	return table.New(id, meta, location, c.fs.open, to)
}

// create makes an empty table. A table that exists is left as it is.
func (c *catalog) create(ctx context.Context, id table.Identifier, meta table.Metadata) error {
	location, err := c.writeMetadata(id, meta, 0)
	if err != nil {
		return err
	}
	err = c.atomically(ctx, func(tx *sql.Tx) error {
		res, err := tx.Exec(`INSERT INTO palate_tables (table_namespace, table_name, metadata_location) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`,
			id[0], id[1], location)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		return setPointer(tx, id, location)
	})
	if err != nil {
		return fmt.Errorf("create table: %w", err)
	}
	return nil
}

// setPointer moves a pointer wherever it was.
func setPointer(tx *sql.Tx, id table.Identifier, location string) error {
	_, err := tx.Exec(`INSERT OR REPLACE INTO iceberg_tables (catalog_name, table_namespace, table_name, iceberg_type, metadata_location)
		VALUES ('palate', ?, ?, 'TABLE', ?)`, id[0], id[1], location)
	return err
}

// drop forgets a table; its files are the caller's.
func (c *catalog) drop(ctx context.Context, id table.Identifier) error {
	err := c.atomically(ctx, func(tx *sql.Tx) error {
		if _, err := tx.Exec(`DELETE FROM iceberg_tables WHERE catalog_name = 'palate' AND table_namespace = ? AND table_name = ?`, id[0], id[1]); err != nil {
			return err
		}
		_, err := tx.Exec(`DELETE FROM palate_tables WHERE table_namespace = ? AND table_name = ?`, id[0], id[1])
		return err
	})
	if err != nil {
		return fmt.Errorf("drop table: %w", err)
	}
	return nil
}

// errMoved says that another engine has committed to the table meanwhile; nothing of ours has happened.
var errMoved = errors.New("the table was changed by another engine meanwhile")

// CommitTable implements table.CatalogIO: it applies the updates, drops every snapshot but the new one, makes the metadata durable and moves the pointer.
func (c *catalog) CommitTable(ctx context.Context, id table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	current, err := c.location(ctx, id)
	if err != nil {
		return nil, "", err
	}
	return c.commit(ctx, id, reqs, updates, current, "")
}

// adoption is the catalog for the one commit that takes over what another engine has committed: the pointer moves from there, the content is built on ours.
type adoption struct {
	*catalog
	from    string // the pointer of the other engine
	outcome string
}

func (a adoption) CommitTable(ctx context.Context, id table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	return a.commit(ctx, id, reqs, updates, a.from, a.outcome)
}

// commit applies the updates to our last metadata and moves the pointer if it still is at from.
func (c *catalog) commit(ctx context.Context, id table.Identifier, reqs []table.Requirement, updates []table.Update, from, outcome string) (table.Metadata, string, error) {
	current, err := c.LoadTable(ctx, id)
	if err != nil {
		return nil, "", err
	}
	for _, r := range reqs {
		if err := r.Validate(current.Metadata()); err != nil {
			return nil, "", err
		}
	}
	meta, err := table.UpdateTableMetadata(current.Metadata(), updates, "")
	if err != nil {
		return nil, "", fmt.Errorf("update table metadata: %w", err)
	}
	if meta, err = onlyCurrentSnapshot(meta); err != nil {
		return nil, "", err
	}
	location, err := c.writeMetadata(id, meta, metadataVersion(current.MetadataLocation())+1)
	if err != nil {
		return nil, "", err
	}
	err = c.atomically(ctx, func(tx *sql.Tx) error {
		res, err := tx.Exec(`UPDATE iceberg_tables SET metadata_location = ?, previous_metadata_location = ?
			WHERE catalog_name = 'palate' AND table_namespace = ? AND table_name = ? AND metadata_location = ?`, location, from, id[0], id[1], from)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return cmp.Or(err, errMoved)
		}
		return setOwn(tx, id, location, outcome)
	})
	if err != nil {
		return nil, "", fmt.Errorf("move table pointer: %w", err)
	}
	return meta, location, nil
}

// setOwn notes our last metadata, and what became of a commit of another engine if outcome is not "".
func setOwn(tx *sql.Tx, id table.Identifier, location, outcome string) error {
	_, err := tx.Exec(`UPDATE palate_tables SET metadata_location = ? WHERE table_namespace = ? AND table_name = ?`, location, id[0], id[1])
	if err != nil || outcome == "" {
		return err
	}
	_, err = tx.Exec(`UPDATE palate_tables SET outcome = ?, outcome_at = ? WHERE table_namespace = ? AND table_name = ?`, outcome, time.Now().Unix(), id[0], id[1])
	return err
}

// restore moves a pointer back from where another engine has put it, or brings it back if it is gone.
func (c *catalog) restore(ctx context.Context, id table.Identifier, from, own, outcome string) error {
	err := c.atomically(ctx, func(tx *sql.Tx) error {
		var now sql.NullString
		err := tx.QueryRow(`SELECT metadata_location FROM iceberg_tables WHERE catalog_name = 'palate' AND table_namespace = ? AND table_name = ?`,
			id[0], id[1]).Scan(&now)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if now.String != from {
			return errMoved
		}
		// A renamed table stands under another name now, which would lead to files that are going to be destroyed.
		if _, err := tx.Exec(`DELETE FROM iceberg_tables WHERE catalog_name = 'palate' AND metadata_location = ?`, own); err != nil {
			return err
		}
		if err := setPointer(tx, id, own); err != nil {
			return err
		}
		return setOwn(tx, id, own, outcome)
	})
	if err != nil {
		return fmt.Errorf("restore table pointer: %w", err)
	}
	return nil
}

func onlyCurrentSnapshot(meta table.Metadata) (table.Metadata, error) {
	current := meta.CurrentSnapshot()
	var old []int64
	for _, s := range meta.Snapshots() {
		if current == nil || s.SnapshotID != current.SnapshotID {
			old = append(old, s.SnapshotID)
		}
	}
	if len(old) == 0 {
		return meta, nil
	}
	meta, err := table.UpdateTableMetadata(meta, []table.Update{table.NewRemoveSnapshotsUpdate(old, false)}, "")
	if err != nil {
		return nil, fmt.Errorf("expire snapshots: %w", err)
	}
	return meta, nil
}

// writeMetadata stores a metadata file durably. Manifests stand in the same directory, so its fsync makes their names durable too.
func (c *catalog) writeMetadata(id table.Identifier, meta table.Metadata, version int) (location string, err error) {
	meta, err = table.UpdateTableMetadata(meta, []table.Update{table.NewSetPropertiesUpdate(c.forOthers(id))}, "")
	if err != nil {
		return "", fmt.Errorf("write table metadata: %w", err)
	}
	text, err := json.Marshal(meta)
	if err != nil {
		return "", fmt.Errorf("write table metadata: %w", err)
	}
	location = c.fs.uri(id[0], id[1], "metadata", fmt.Sprintf("%05d-%s.metadata.json", version, randomName()))
	return location, c.fs.WriteFile(location, text)
}

// foreignPaths are the properties that send other engines' files to a directory of their own. iceberg-go must not see them: our files do not go there.
var foreignPaths = []string{table.WriteDataPathKey, table.WriteMetadataPathKey}

// forOthers are the properties that other engines go by, written with every commit: whatever they bring stands apart from our files until it is taken over,
// changes come as whole files, and manifests hold counts and never values of a column.
func (c *catalog) forOthers(id table.Identifier) iceberg.Properties {
	incoming := strings.TrimSuffix(c.fs.uri(id[0], id[1], "incoming", ""), "/")
	return iceberg.Properties{
		table.WriteDataPathKey:           incoming,
		table.WriteMetadataPathKey:       incoming,
		"write.delete.mode":              "copy-on-write",
		"write.update.mode":              "copy-on-write",
		"write.merge.mode":               "copy-on-write",
		"write.metadata.metrics.default": "counts",
	}
}

func metadataVersion(location string) (n int) {
	fmt.Sscanf(path.Base(location), "%d-", &n)
	return n
}

// randomName returns 16 random hexadecimal digits.
func randomName() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// storeIO is the file access of Iceberg: files below one root, durable when closed.
//
// Iceberg wants absolute locations. Only the end of a location counts here (groups/G/tables/T/KIND/NAME), so that a data directory can be moved.
type storeIO struct {
	root  string
	fatal func(error) // a failed fsync: nothing that follows can be trusted
}

func (s storeIO) open(context.Context) (icebergio.IO, error) { return s, nil }

func (s storeIO) uri(group, id, kind, name string) string {
	return "file://" + filepath.ToSlash(filepath.Join(s.root, "groups", group, "tables", id, kind, name))
}

// local is the path of a location.
func (s storeIO) local(location string) (string, error) {
	parts := strings.Split(location, "/")
	if n := len(parts); n > 6 && parts[n-6] == "groups" && parts[n-4] == "tables" && filepath.IsLocal(strings.Join(parts[n-6:], "/")) {
		return filepath.Join(s.root, filepath.Join(parts[n-6:]...)), nil
	}
	return "", errors.New("location outside of the store")
}

func (s storeIO) Open(name string) (icebergio.File, error) {
	p, err := s.local(name)
	if err != nil {
		return nil, err
	}
	return os.Open(p)
}

func (s storeIO) ReadFile(name string) ([]byte, error) {
	p, err := s.local(name)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(p)
}

func (s storeIO) Remove(name string) error {
	p, err := s.local(name)
	if err != nil {
		return err
	}
	return blob.Destroy(p)
}

func (s storeIO) WriteFile(name string, content []byte) error {
	p, err := s.local(name)
	if err != nil {
		return err
	}
	return blob.WriteFile(p, bytes.NewReader(content))
}

func (s storeIO) Create(name string) (icebergio.FileWriter, error) {
	p, err := s.local(name)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(p, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return &durableFile{File: f, fatal: s.fatal}, nil
}

// durableFile syncs when it is closed.
type durableFile struct {
	*os.File
	fatal func(error)
}

func (f *durableFile) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{f.File}, r)
}

func (f *durableFile) Close() error {
	if err := f.Sync(); err != nil {
		f.fatal(fmt.Errorf("sync manifest: %w", err))
		return err
	}
	return f.File.Close()
}

// newMetadata is the metadata of a new, empty table. Manifests carry counts only.
func newMetadata(t Table, buckets int, location string) (table.Metadata, error) {
	sc, err := icebergSchema(t.Schema)
	if err != nil {
		return nil, err
	}
	key, ok := sc.FindFieldByName(keyName(t.Schema.Type))
	if !ok {
		return nil, fmt.Errorf("schema lacks %s", keyName(t.Schema.Type))
	}
	spec := iceberg.NewPartitionSpec(iceberg.PartitionField{
		SourceIDs: []int{key.ID}, FieldID: partitionField, Name: "bucket", Transform: iceberg.BucketTransform{NumBuckets: buckets},
	})
	return table.NewMetadata(sc, &spec, table.UnsortedSortOrder, location, iceberg.Properties{
		"format-version":                       "2",
		"write.parquet.compression-codec":      "zstd",
		"write.metadata.previous-versions-max": "1",
		"commit.manifest-merge.enabled":        "true",
		"commit.manifest.min-count-to-merge":   "8",
		typeProperty:                           string(t.Schema.Type),
		schemaProperty:                         schemaText(t.Schema),
	})
}

// partitionField is the field id of the only partition field, the first that Iceberg assigns.
const partitionField = 1000
