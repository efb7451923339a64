package dataset

import (
	"bytes"
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

	"github.com/apache/iceberg-go"
	icebergio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"github.com/palate-dev/palate/internal/blob"
)

// catalog keeps the pointers to the current metadata of all tables in the tables that Iceberg's JDBC catalogs share (schema version V1), so that other
// engines can open them. It differs from a general catalog in two promises: every file that a pointer leads to is durable before the pointer moves, and
// metadata never lists a snapshot but the current one, because an older snapshot would keep erased rows alive.
type catalog struct {
	db *sql.DB
	fs storeIO
}

const catalogName = "palate"

// catalogTables is the DDL of the JDBC catalog, which is the same for every implementation of it.
const catalogTables = `
CREATE TABLE IF NOT EXISTS iceberg_tables (
	catalog_name VARCHAR NOT NULL, table_namespace VARCHAR NOT NULL, table_name VARCHAR NOT NULL,
	iceberg_type VARCHAR, metadata_location VARCHAR, previous_metadata_location VARCHAR,
	PRIMARY KEY (catalog_name, table_namespace, table_name));
CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (
	catalog_name VARCHAR NOT NULL, namespace VARCHAR NOT NULL, property_key VARCHAR NOT NULL, property_value VARCHAR,
	PRIMARY KEY (catalog_name, namespace, property_key));`

func openCatalog(db *sql.DB, fs storeIO) (*catalog, error) {
	if _, err := db.Exec(catalogTables); err != nil {
		return nil, fmt.Errorf("create catalog tables: %w", err)
	}
	return &catalog{db: db, fs: fs}, nil
}

// tables lists all tables as (group, id).
func (c *catalog) tables(ctx context.Context) (ids []table.Identifier, err error) {
	rows, err := c.db.QueryContext(ctx, `SELECT table_namespace, table_name FROM iceberg_tables WHERE catalog_name = ? ORDER BY 1, 2`, catalogName)
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

// location returns where the current metadata of a table stands.
func (c *catalog) location(ctx context.Context, id table.Identifier) (location string, err error) {
	err = c.db.QueryRowContext(ctx, `SELECT metadata_location FROM iceberg_tables WHERE catalog_name = ? AND table_namespace = ? AND table_name = ?`,
		catalogName, id[0], id[1]).Scan(&location)
	if errors.Is(err, sql.ErrNoRows) {
		return "", ErrNoTable
	}
	if err != nil {
		return "", fmt.Errorf("read catalog: %w", err)
	}
	return location, nil
}

// LoadTable implements table.CatalogIO.
func (c *catalog) LoadTable(ctx context.Context, id table.Identifier) (*table.Table, error) {
	location, err := c.location(ctx, id)
	if err != nil {
		return nil, err
	}
	t, err := table.NewFromLocation(ctx, id, location, c.fs.open, c)
	if err != nil {
		return nil, fmt.Errorf("read table metadata: %w", err)
	}
	return t, nil
}

// create makes an empty table. A table that exists is left as it is.
func (c *catalog) create(ctx context.Context, id table.Identifier, meta table.Metadata) error {
	location, err := c.writeMetadata(id, meta, 0)
	if err != nil {
		return err
	}
	_, err = c.db.ExecContext(ctx, `INSERT INTO iceberg_tables (catalog_name, table_namespace, table_name, iceberg_type, metadata_location)
		VALUES (?, ?, ?, 'TABLE', ?) ON CONFLICT DO NOTHING`, catalogName, id[0], id[1], location)
	if err != nil {
		return fmt.Errorf("create table: %w", err)
	}
	return nil
}

// drop forgets a table; its files are the caller's.
func (c *catalog) drop(ctx context.Context, id table.Identifier) error {
	_, err := c.db.ExecContext(ctx, `DELETE FROM iceberg_tables WHERE catalog_name = ? AND table_namespace = ? AND table_name = ?`, catalogName, id[0], id[1])
	if err != nil {
		return fmt.Errorf("drop table: %w", err)
	}
	return nil
}

// CommitTable implements table.CatalogIO: it applies the updates, drops every snapshot but the new one, makes the metadata durable and moves the pointer.
func (c *catalog) CommitTable(ctx context.Context, id table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
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
	res, err := c.db.ExecContext(ctx, `UPDATE iceberg_tables SET metadata_location = ?, previous_metadata_location = ?
		WHERE catalog_name = ? AND table_namespace = ? AND table_name = ? AND metadata_location = ?`,
		location, current.MetadataLocation(), catalogName, id[0], id[1], current.MetadataLocation())
	if err != nil {
		return nil, "", fmt.Errorf("move table pointer: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return nil, "", errors.Join(errors.New("move table pointer: the table was changed by somebody else"), err)
	}
	return meta, location, nil
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
	text, err := json.Marshal(meta)
	if err != nil {
		return "", fmt.Errorf("write table metadata: %w", err)
	}
	location = c.fs.uri(id[0], id[1], "metadata", fmt.Sprintf("%05d-%s.metadata.json", version, randomName()))
	return location, c.fs.WriteFile(location, text)
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
		"write.metadata.metrics.default":       "counts",
		"write.metadata.previous-versions-max": "1",
		"commit.manifest-merge.enabled":        "true",
		"commit.manifest.min-count-to-merge":   "8",
		typeProperty:                           string(t.Schema.Type),
	})
}

// partitionField is the field id of the only partition field, the first that Iceberg assigns.
const partitionField = 1000
