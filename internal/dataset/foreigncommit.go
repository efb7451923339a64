package dataset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/apache/iceberg-go"
	icebergio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
)

// foreignLimits bound what is read into memory of another engine's metadata.
const (
	maxForeignMetadata = 64 << 20
	maxForeignFiles    = 100_000
	maxForeignRows     = 1 << 40
)

// inspect looks through a commit of another engine without changing anything. The commit that it returns is never nil: what is known of a refused one is
// what there is to destroy.
func (t *tableState) inspect(ctx context.Context, pointer string) (f *foreignCommit, err error) {
	f = &foreignCommit{pointer: pointer, leftover: make(map[string]bool)}
	defer func() {
		if panicked := recover(); panicked != nil { // of a decoder on bytes that are not ours
			err = refuse("its metadata is damaged")
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = refuse("a file that it names is missing")
		}
	}()
	if pointer == "" {
		return f, refuse("a table is dropped or renamed through its dataset only")
	}
	files := foreignIO{t.g.e.catalog.fs, t}
	text, err := files.ReadFile(pointer)
	if err != nil {
		return f, err
	}
	f.leave(t, pointer)
	meta, err := table.ParseMetadataBytes(text)
	if err != nil {
		return f, refuse("its metadata cannot be understood")
	}
	for log := range meta.PreviousFiles() {
		f.leave(t, log.MetadataFile)
	}
	leftovers := f.trace(ctx, t, files, meta)
	if err := t.sameTable(meta); err != nil {
		return f, err
	}
	if leftovers != nil {
		return f, leftovers
	}
	return f, f.compare(ctx, t, files, meta)
}

// sameTable refuses changes of anything but rows.
func (t *tableState) sameTable(meta table.Metadata) error {
	own := t.ice.Metadata()
	spec, ownSpec := meta.PartitionSpec(), own.PartitionSpec()
	current, ownCurrent := meta.CurrentSnapshot(), own.CurrentSnapshot()
	switch {
	case meta.Version() != own.Version():
		return refuse("the format version of a table must stay %d", own.Version())
	case meta.TableUUID() != own.TableUUID() || meta.Location() != own.Location():
		return refuse("it is the metadata of another table")
	case !sameSchema(meta.CurrentSchema(), own.CurrentSchema()):
		return refuse("columns are changed with UpdateDataset only")
	case !spec.Equals(ownSpec):
		return refuse("the partitions of a table cannot be changed")
	case ownCurrent != nil && current == nil:
		return refuse("it has no current snapshot")
	case current == nil || ownCurrent != nil && current.SnapshotID == ownCurrent.SnapshotID:
		return refuse("only rows can be changed by other engines")
	}
	return nil
}

// trace notes every file in incoming that any snapshot of the metadata leads to, whether or not the commit will be taken over.
func (f *foreignCommit) trace(ctx context.Context, t *tableState, files foreignIO, meta table.Metadata) error {
	current := meta.CurrentSnapshot()
	for _, snap := range meta.Snapshots() {
		if own := t.ice.CurrentSnapshot(); own != nil && snap.SnapshotID == own.SnapshotID {
			continue
		}
		err := f.traceSnapshot(ctx, t, files, &snap)
		if err != nil && (ctx.Err() != nil || current != nil && snap.SnapshotID == current.SnapshotID) {
			return err
		}
	}
	return nil
}

func (f *foreignCommit) traceSnapshot(ctx context.Context, t *tableState, files foreignIO, snap *table.Snapshot) error {
	f.leave(t, snap.ManifestList)
	manifests, err := snap.Manifests(files)
	if err != nil {
		return unreadable(err, "its manifest list")
	}
	for _, m := range manifests {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !f.leave(t, m.FilePath()) {
			continue // of ours, or outside: compare finds out
		}
		for entry, err := range m.Entries(files, false) {
			if err != nil {
				return unreadable(err, "a manifest")
			}
			f.leave(t, entry.DataFile().FilePath())
			if len(f.leftover) > maxForeignFiles {
				return refuse("it has more than %d files", maxForeignFiles)
			}
		}
	}
	return nil
}

// unreadable keeps errors of the disk and refuses everything else, whose text may repeat what the other engine has written.
func unreadable(err error, what string) error {
	var r *refusal
	if isDisk(err) || errors.As(err, &r) {
		return err
	}
	return refuse("%s cannot be understood", what)
}

// leave notes a file that is of no use after the commit; false if it does not stand in incoming.
func (f *foreignCommit) leave(t *tableState, location string) bool {
	path, err := t.incomingPath(location)
	if err != nil {
		return false
	}
	f.leftover[path] = true
	return true
}

// compare finds out which files came and which are gone.
func (f *foreignCommit) compare(ctx context.Context, t *tableState, files foreignIO, meta table.Metadata) error {
	own := make(map[string]*dataFile)
	for _, d := range t.files {
		own[d.path] = d
	}
	seen := make(map[string]bool)
	manifests, err := meta.CurrentSnapshot().Manifests(files)
	if err != nil {
		return unreadable(err, "its manifest list")
	}
	var rows int64
	for _, m := range manifests {
		for entry, err := range m.Entries(files, true) {
			if err != nil {
				return unreadable(err, "a manifest")
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			path, mine, err := t.entryPath(entry.DataFile(), own)
			if err != nil {
				return err
			}
			if seen[path] {
				return refuse("it names a data file twice")
			}
			seen[path] = true
			if mine {
				continue
			}
			n, err := foreignRows(path, entry.DataFile())
			if err != nil {
				return err
			}
			if rows += n; rows > maxForeignRows {
				return refuse("it has too many rows")
			}
			f.files = append(f.files, &foreignFile{path, n})
		}
	}
	for _, d := range t.files {
		if !seen[d.path] {
			f.gone = append(f.gone, d)
		}
	}
	slices.SortFunc(f.files, func(a, b *foreignFile) int { return strings.Compare(a.path, b.path) })
	return nil
}

// entryPath finds the file of a manifest's entry: one of ours that is in the table, or one in incoming.
func (t *tableState) entryPath(d iceberg.DataFile, own map[string]*dataFile) (path string, mine bool, err error) {
	switch {
	case d.ContentType() == iceberg.EntryContentEqDeletes:
		return "", false, refuse("it deletes by equality; only whole files can be replaced (write.delete.mode=copy-on-write)")
	case d.ContentType() != iceberg.EntryContentData:
		return "", false, refuse("it deletes by position; only whole files can be replaced (write.delete.mode=copy-on-write)")
	case d.FileFormat() != iceberg.ParquetFile:
		return "", false, refuse("data files must be Parquet")
	}
	if p, err := t.g.e.catalog.fs.local(d.FilePath()); err == nil && own[p] != nil {
		return p, true, nil
	}
	if path, err = t.incomingPath(d.FilePath()); err != nil {
		return "", false, err
	}
	return path, false, plainFile(t.incomingDir(), path)
}

// incomingPath is the path of a location below incoming. It may be anything that the other engine has written, so every part of it is checked.
func (t *tableState) incomingPath(location string) (string, error) {
	outside := refuse("it names a file outside of the table's directory for other engines (write.data.path)")
	if rest, ok := strings.CutPrefix(location, "file:"); ok {
		location = "/" + strings.TrimLeft(rest, "/")
	}
	if strings.Contains(location, "%") && !strings.Contains(t.incomingDir(), "%") {
		plain, err := url.PathUnescape(location)
		if err != nil {
			return "", outside
		}
		location = plain
	}
	rest, err := filepath.Rel(t.incomingDir(), filepath.FromSlash(location))
	if err != nil || !filepath.IsLocal(rest) || rest == "." || strings.Contains(location, "..") || strings.ContainsRune(location, 0) {
		return "", outside
	}
	return filepath.Join(t.incomingDir(), rest), nil
}

// plainFile refuses links: what they lead to is not ours to read or to destroy.
func plainFile(root, path string) error {
	for p := path; p != root; p = filepath.Dir(p) {
		info, err := os.Lstat(p)
		if err != nil {
			return err
		}
		if p != path {
			if !info.IsDir() {
				return refuse("it names a file through a link")
			}
			continue
		}
		if st, ok := info.Sys().(*syscall.Stat_t); !info.Mode().IsRegular() || ok && st.Nlink > 1 {
			return refuse("it names a link or another special file")
		}
	}
	return nil
}

// foreignIO reads another engine's metadata: from incoming, and our manifests that it has kept.
type foreignIO struct {
	storeIO
	t *tableState
}

func (s foreignIO) path(location string) (string, error) {
	if p, err := s.storeIO.local(location); err == nil && filepath.Dir(p) == s.t.metadataDir() {
		return p, nil
	}
	p, err := s.t.incomingPath(location)
	if err != nil {
		return "", err
	}
	return p, plainFile(s.t.incomingDir(), p)
}

func (s foreignIO) ReadFile(location string) ([]byte, error) {
	p, err := s.path(location)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(p)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxForeignMetadata {
		return nil, refuse("its metadata is larger than %d MB", maxForeignMetadata>>20)
	}
	return os.ReadFile(p)
}

func (s foreignIO) Open(location string) (icebergio.File, error) {
	text, err := s.ReadFile(location)
	if err != nil {
		return nil, err
	}
	return &memoryFile{Reader: bytes.NewReader(text)}, nil
}

func (s foreignIO) Remove(string) error { return errors.New("not ours to remove") }

// memoryFile is a file that has been read whole.
type memoryFile struct{ *bytes.Reader }

func (*memoryFile) Close() error { return nil }

func (*memoryFile) Stat() (fs.FileInfo, error) {
	return nil, fmt.Errorf("stat: %w", errors.ErrUnsupported)
}
