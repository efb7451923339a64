package dataset

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/parquet-go/parquet-go"
)

// Verify proves that an erasure is complete: it reads everything that stands in the group's directory and fails if a listed user is found where he must not
// be, or if there is a file that no part of the store owns up to. It shares no code with Erase: data files are read with parquet-go. Where ids of other users
// may stand (pages of data files, frames of the log) values are decoded and compared; all other bytes are searched for the listed ids as they are.
// Errors name the kind of place and never an id.
func (e *Engine) Verify(ctx context.Context, tables []Table, job string) error {
	if len(tables) == 0 {
		return nil
	}
	g, ok := e.group(tables[0].Group)
	if !ok {
		return ErrNoTable
	}
	m := g.mask(job)
	if m == nil {
		return fmt.Errorf("verify: %w", errNotHidden)
	}
	v := &verifier{g: g, mask: m, returned: make(map[string]bool)}
	for _, check := range []func(context.Context) error{v.places, v.tables, v.log, v.staging, v.erasing, v.search} {
		if err := check(ctx); err != nil {
			return unverified(ctx, err)
		}
	}
	return nil
}

// ErrUnverified is what Verify found: something that should not be there, or that cannot be understood. Other errors say that it could not look.
var ErrUnverified = errors.New("the erasure could not be verified")

func unverified(ctx context.Context, err error) error {
	var io *fs.PathError
	if ctx.Err() != nil || errors.As(err, &io) {
		return fmt.Errorf("verify: %w", err)
	}
	return fmt.Errorf("verify: %w: %w", ErrUnverified, err)
}

// verifier checks one group for one erasure.
type verifier struct {
	g        *group
	mask     *mask
	returned map[string]bool // listed ids that came in again after the cut: they may stand in files
	raw      []region        // bytes that may hold no id at all: searched in the end
}

// region is a file from an offset to its end.
type region struct {
	path string
	from int64
}

var errUnclaimed = errors.New("a file that no part of the store owns")

// covers tells whether a row must be gone.
func (v *verifier) covers(key, session string, seq int64) bool {
	if v.mask.users.Has(key) {
		if seq <= v.mask.cut {
			return true
		}
		v.returned[key] = true
	}
	return v.mask.sessions.Has(key) && session == key && seq <= v.mask.cut
}

// places checks that the group's directory holds nothing but what the checks below look at.
func (v *verifier) places(context.Context) error {
	if err := onlyNames(v.g.dir, []string{"erasing", "log", "staging", "tables"}); err != nil {
		return fmt.Errorf("group directory: %w", err)
	}
	var ids []string
	for _, t := range v.g.allTables() {
		ids = append(ids, t.id)
	}
	if err := onlyNames(filepath.Join(v.g.dir, "tables"), ids); err != nil {
		return fmt.Errorf("tables directory: %w", err)
	}
	return nil
}

func onlyNames(dir string, names []string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, d := range entries {
		if !slices.Contains(names, d.Name()) && exists(filepath.Join(dir, d.Name())) {
			return errUnclaimed
		}
	}
	return nil
}

// exists is asked about files that concurrent work may be removing.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// tables checks data files and metadata.
func (v *verifier) tables(ctx context.Context) error {
	for _, t := range v.g.allTables() {
		if err := v.table(ctx, t); err != nil {
			return fmt.Errorf("table %s: %w", t.id, err)
		}
	}
	return nil
}

func (v *verifier) table(ctx context.Context, t *tableState) error {
	t.write.Lock() // the directories do not change meanwhile, except that garbage goes
	defer t.write.Unlock()
	if err := onlyNames(t.dir(), []string{"data", "metadata"}); err != nil {
		return err
	}
	t.mu.Lock()
	files := slices.Concat(t.files, t.garbage)
	t.mu.Unlock()
	var names []string
	for _, f := range files {
		names = append(names, filepath.Base(f.path))
	}
	if err := onlyNames(t.dataDir(), names); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	for _, f := range files {
		if err := v.dataFile(ctx, t, f); err != nil {
			if errors.Is(err, fs.ErrNotExist) && !slices.Contains(t.files, f) {
				continue // garbage that went
			}
			return fmt.Errorf("data file: %w", err)
		}
	}
	return v.metadata(t)
}

var errListed = errors.New("a row of a listed user")

func (v *verifier) dataFile(ctx context.Context, t *tableState, f *dataFile) error {
	in, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	pf, err := parquet.OpenFile(in, info.Size())
	if err != nil {
		return err
	}
	if pf.NumRows() != f.rows {
		return errors.New("holds another number of rows than its manifest says")
	}
	end, err := onlyPages(pf)
	if err != nil {
		return err
	}
	v.raw = append(v.raw, region{f.path, end})
	if !t.kind.holdsUsers() {
		return nil
	}
	columns := []string{keyName(t.kind), sessionColumn, seqColumn}
	for _, rg := range pf.RowGroups() {
		if err := ctx.Err(); err != nil {
			return err
		}
		var vals [3][]parquet.Value
		for i, name := range columns {
			leaf, ok := pf.Schema().Lookup(name)
			if !ok {
				return fmt.Errorf("lacks column %s", name)
			}
			if vals[i], err = columnValues(rg.ColumnChunks()[leaf.ColumnIndex]); err != nil {
				return err
			}
		}
		for i, key := range vals[0] {
			session := ""
			if !vals[1][i].IsNull() {
				session = string(vals[1][i].ByteArray())
			}
			if v.covers(string(key.ByteArray()), session, vals[2][i].Int64()) {
				return errListed
			}
		}
	}
	return nil
}

// onlyPages checks that a file holds nothing but column pages without statistics up to its footer, and returns where the footer begins.
func onlyPages(pf *parquet.File) (end int64, err error) {
	end = 4
	for _, g := range pf.Metadata().RowGroups {
		for i := range g.Columns {
			m := &g.Columns[i].MetaData
			if chunkStart(m) != end {
				return 0, errors.New("holds bytes that are no page")
			}
			end += m.TotalCompressedSize
			if s := &m.Statistics; len(s.Min)+len(s.Max)+len(s.MinValue)+len(s.MaxValue) > 0 || m.BloomFilterOffset != 0 || g.Columns[i].ColumnIndexOffset != 0 {
				return 0, errors.New("holds values outside of its pages")
			}
		}
	}
	return end, nil
}

func columnValues(chunk parquet.ColumnChunk) ([]parquet.Value, error) {
	out := make([]parquet.Value, 0, chunk.NumValues())
	pages := chunk.Pages()
	defer pages.Close()
	for {
		p, err := pages.ReadPage()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		vals := make([]parquet.Value, p.NumValues())
		if n, err := p.Values().ReadValues(vals); err != nil && err != io.EOF || n != len(vals) {
			return nil, errors.Join(errors.New("page cannot be read"), err)
		}
		for _, val := range vals {
			out = append(out, val.Clone())
		}
		parquet.Release(p)
	}
}

// metadata checks that the table's metadata knows one snapshot, that its manifests carry counts only, and that nothing else lies beside them.
func (v *verifier) metadata(t *tableState) error {
	names := []string{filepath.Base(t.ice.MetadataLocation())}
	fsys := t.g.e.catalog.fs
	if n := len(t.ice.Metadata().Snapshots()); n > 1 {
		return fmt.Errorf("metadata: %d snapshots", n)
	}
	if snap := t.ice.CurrentSnapshot(); snap != nil {
		names = append(names, filepath.Base(snap.ManifestList))
		manifests, err := snap.Manifests(fsys)
		if err != nil {
			return fmt.Errorf("manifest list: %w", err)
		}
		for _, mf := range manifests {
			names = append(names, filepath.Base(mf.FilePath()))
			for entry, err := range mf.Entries(fsys, false) {
				if err != nil {
					return fmt.Errorf("manifest: %w", err)
				}
				if hasBounds(entry) {
					return errors.New("manifest: holds values of a column")
				}
			}
		}
	}
	if err := onlyNames(t.metadataDir(), names); err != nil {
		return fmt.Errorf("metadata directory: %w", err)
	}
	for _, name := range names {
		v.raw = append(v.raw, region{filepath.Join(t.metadataDir(), name), 0})
	}
	return nil
}

func hasBounds(e iceberg.ManifestEntry) bool {
	f := e.DataFile()
	return len(f.LowerBoundValues())+len(f.UpperBoundValues()) > 0
}

// log checks every segment. Folds are kept away meanwhile, so that segments do not come and go; events may be appended.
func (v *verifier) log(context.Context) error {
	v.g.folding.Lock()
	defer v.g.folding.Unlock()
	names, err := segmentNames(v.g.log.dir)
	if err != nil {
		return err
	}
	for i, name := range names {
		path := filepath.Join(v.g.log.dir, name)
		if err := v.segment(path, i == len(names)-1); err != nil {
			return fmt.Errorf("log segment: %w", err)
		}
	}
	return nil
}

func (v *verifier) segment(path string, last bool) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if len(data) < segmentHeader {
		return errors.New("damaged header")
	}
	for at := segmentHeader; at < len(data); {
		f, err := parseFrame(data[at:])
		if err != nil {
			if last {
				return nil // being written; what stands there is newer than the cut
			}
			return err
		}
		if err := eachRecord(f.payload, v.record); err != nil {
			return err
		}
		at += frameHeader + len(f.payload)
	}
	return nil
}

func (v *verifier) record(rec record) error {
	t, ok := v.g.table(rec.table)
	if !ok {
		if rec.kind == putRecord {
			return errors.New("rows of a table that is gone")
		}
		return nil
	}
	l := t.current()
	rows, err := rec.rows(l)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if key := r.vals[l.key].Str; t.kind.holdsUsers() && v.covers(key, r.session, r.seq) {
			return errListed
		}
	}
	return nil
}

// staging checks that only work in progress has files there: it drops what the mask covers before it commits.
func (v *verifier) staging(context.Context) error {
	dir := filepath.Join(v.g.dir, "staging")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, d := range entries {
		path := filepath.Join(dir, d.Name())
		v.g.mu.Lock()
		inUse := v.g.staged[path]
		v.g.mu.Unlock()
		if !inUse && exists(path) {
			return fmt.Errorf("staging directory: %w", errUnclaimed)
		}
	}
	return nil
}

// erasing checks that only the lists of erasures in progress are kept.
func (v *verifier) erasing(context.Context) error {
	dir := filepath.Join(v.g.dir, "erasing")
	var jobs []string
	for _, m := range v.g.activeMasks() {
		jobs = append(jobs, m.job)
		if err := onlyNames(filepath.Join(dir, m.job), []string{usersFile, sessionsFile}); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("erasing directory: %w", err)
		}
	}
	if err := onlyNames(dir, jobs); err != nil {
		return fmt.Errorf("erasing directory: %w", err)
	}
	return nil
}

const (
	searchedIDs = 4096 // how many ids are looked for in raw bytes
	searchedLen = 8    // the shortest that is: shorter ones occur in binary data by chance
)

// search looks for listed ids in the bytes of all files. Ids that digits of numbers and of file names could spell, and ids without a digit, which could be
// the name of a column, are left to the decoders.
func (v *verifier) search(ctx context.Context) error {
	var ids []string
	for id := range v.mask.users.All() {
		distinctive := strings.ContainsAny(id, "0123456789") && (len(id) >= 24 || strings.Trim(id, "0123456789abcdefABCDEF-") != "")
		if len(id) >= searchedLen && distinctive && !v.returned[id] && !v.mask.sessions.Has(id) {
			ids = append(ids, id)
		}
	}
	s := newSearch(sample(ids, searchedIDs))
	for _, r := range v.raw {
		found, err := s.file(ctx, r)
		if errors.Is(err, fs.ErrNotExist) {
			continue // superseded since it was decoded
		}
		if err != nil {
			return err
		}
		if found {
			return fmt.Errorf("raw bytes of a file in %s: the id of a listed user", filepath.Base(filepath.Dir(r.path)))
		}
	}
	return nil
}

// sample takes n of the ids, evenly spread.
func sample(ids []string, n int) []string {
	if len(ids) <= n {
		return ids
	}
	out := make([]string, n)
	for i := range out {
		out[i] = ids[i*len(ids)/n]
	}
	return out
}

// byteSearch finds any of many strings: by a bitmap over the hash of eight bytes, then by a map, then byte for byte.
type byteSearch struct {
	bitmap  [1 << 13]uint64
	heads   map[uint64][]string
	longest int
}

func newSearch(ids []string) *byteSearch {
	s := &byteSearch{heads: make(map[uint64][]string)}
	for _, id := range ids {
		head := binary.LittleEndian.Uint64([]byte(id[:searchedLen]))
		s.heads[head] = append(s.heads[head], id)
		h := slot(head)
		s.bitmap[h/64] |= 1 << (h % 64)
		s.longest = max(s.longest, len(id))
	}
	return s
}

func slot(head uint64) uint64 { return head * 0x9e3779b97f4a7c15 >> 45 }

func (s *byteSearch) file(ctx context.Context, r region) (bool, error) {
	if len(s.heads) == 0 {
		return false, nil
	}
	f, err := os.Open(r.path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	if _, err := f.Seek(r.from, io.SeekStart); err != nil {
		return false, err
	}
	buf := make([]byte, 1<<20+s.longest)
	kept := 0
	for {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		n, err := io.ReadFull(f, buf[kept:])
		end := err == io.EOF || err == io.ErrUnexpectedEOF
		if err != nil && !end {
			return false, err
		}
		window := buf[:kept+n]
		if s.in(window) {
			return true, nil
		}
		if end {
			return false, nil
		}
		kept = copy(buf, window[len(window)-s.longest:])
	}
}

func (s *byteSearch) in(b []byte) bool {
	for i := 0; i+searchedLen <= len(b); i++ {
		head := binary.LittleEndian.Uint64(b[i:])
		if h := slot(head); s.bitmap[h/64]>>(h%64)&1 == 0 {
			continue
		}
		for _, id := range s.heads[head] {
			if i+len(id) <= len(b) && string(b[i:i+len(id)]) == id {
				return true
			}
		}
	}
	return false
}
