package verify

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/parquet-go/parquet-go"
)

// keyColumn is the column that names the user, by type of table; other types do not hold users.
var keyColumn = map[string]string{"INTERACTIONS": "USER_ID", "USERS": "USER_ID", "ACTION_INTERACTIONS": "USER_ID"}

const (
	sessionColumn = "_session"
	seqColumn     = "_seq"
)

// visitTable checks a table of the group, or puts it on the list of what nobody claims.
func (s *search) visitTable(id string) error {
	known, err := s.Store.StillTable(s.Group, id, func(superseded []string) error { return s.table(id, superseded) })
	if err != nil {
		return err
	}
	if !known {
		s.pending = append(s.pending, path.Join("store/groups", s.Group, "tables", id))
	}
	return nil
}

// tableMetadata is what we need of Iceberg's table metadata.
type tableMetadata struct {
	Properties      map[string]string `json:"properties"`
	CurrentSchema   int               `json:"current-schema-id"`
	CurrentSnapshot *int64            `json:"current-snapshot-id"`
	Schemas         []struct {
		ID     int `json:"schema-id"`
		Fields []struct {
			ID   int    `json:"id"`
			Name string `json:"name"`
		} `json:"fields"`
	} `json:"schemas"`
	Snapshots []struct {
		ManifestList string `json:"manifest-list"`
	} `json:"snapshots"`
}

// table checks every file of a table: the one metadata file, the manifests that it leads to, and the data files that those list, or that readers still hold.
func (s *search) table(id string, superseded []string) error {
	rel := path.Join("store/groups", s.Group, "tables", id)
	dir := filepath.Join(s.Data, filepath.FromSlash(rel))
	var files []string // below rel
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && !d.IsDir() {
			below, _ := filepath.Rel(dir, p)
			files = append(files, filepath.ToSlash(below))
		}
		return err
	})
	if err != nil {
		return err
	}
	meta, err := s.metadata(rel, dir, files)
	if err != nil {
		return fmt.Errorf("table metadata: %w", err)
	}
	listed, err := s.manifests(dir, meta)
	if err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	for _, name := range files {
		p := claim(path.Join(rel, name))
		base := path.Base(name)
		rows, current := listed[base]
		if p != nil {
			s.checked(p.Name)
		}
		switch {
		case p == nil: // nothing is written here but under the lock that we hold
			return errUnclaimed
		case p.Name == otherEngines:
			if err := s.incoming(filepath.Join(dir, filepath.FromSlash(name)), keyColumn[meta.Properties["palate.type"]]); err != nil {
				return err
			}
			continue
		case p.Name == "table metadata" || p.Name == "manifest" && current:
			continue
		case p.Name != "table file" && !current, p.Name == "table file" && !current && !slices.Contains(superseded, base):
			return fmt.Errorf("%s: %w", p.Name, errUnclaimed)
		}
		if !current {
			rows = -1
		}
		if err := s.dataFile(filepath.Join(dir, filepath.FromSlash(name)), keyColumn[meta.Properties["palate.type"]], rows); err != nil {
			if errors.Is(err, fs.ErrNotExist) && !current {
				continue // superseded, and gone by now
			}
			return fmt.Errorf("table file: %w", err)
		}
	}
	return nil
}

// metadata reads the only metadata file, whose texts must not name a user.
func (s *search) metadata(rel, dir string, files []string) (meta tableMetadata, err error) {
	found := ""
	for _, name := range files {
		if p := claim(path.Join(rel, name)); p != nil && p.Name == "table metadata" {
			if found != "" {
				return meta, errors.New("more than one")
			}
			found = name
		}
	}
	if found == "" {
		return meta, errors.New("is missing")
	}
	p := filepath.Join(dir, filepath.FromSlash(found))
	if err := s.json(file{path: p}); err != nil {
		return meta, err
	}
	text, err := os.ReadFile(p)
	if err != nil {
		return meta, err
	}
	if err := json.Unmarshal(text, &meta); err != nil {
		return meta, errors.New("is not JSON")
	}
	if len(meta.Snapshots) > 1 {
		return meta, errors.New("has an old snapshot")
	}
	return meta, s.noteKey(path.Base(rel), meta)
}

// noteKey remembers which field of the log's rows names the user.
func (s *search) noteKey(table string, meta tableMetadata) error {
	s.keys[table] = -1
	name := keyColumn[meta.Properties["palate.type"]]
	if name == "" {
		return nil
	}
	for _, schema := range meta.Schemas {
		for _, f := range schema.Fields {
			if schema.ID == meta.CurrentSchema && f.Name == name {
				s.keys[table] = f.ID
			}
		}
	}
	if s.keys[table] < 0 {
		return errors.New("lacks the column of users")
	}
	return nil
}

// json is the look at a JSON file: every text in it is searched as it reads when decoded, and the file as it stands.
func (s *search) json(f file) error {
	s.raw = append(s.raw, region{"table metadata", f.path, 0})
	in, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer in.Close()
	look := s.finder()
	for d := json.NewDecoder(in); ; {
		token, err := d.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return errors.New("is not JSON")
		}
		if text, ok := token.(string); ok && look.in([]byte(text)) != "" {
			return errBytes
		}
	}
}

// finder looks for ids in decoded texts. Unlike the search of raw bytes it runs before it is known who has come back, which no such text may tell anyway.
func (s *search) finder() *byteSearch {
	if s.found == nil {
		s.found = newBytes(sample(s.distinctive(), searchedIDs))
	}
	return s.found
}

// manifests reads the manifest list and the manifests. It returns the names of the manifests and of the data files, with the rows of each (0 for manifests).
func (s *search) manifests(dir string, meta tableMetadata) (names map[string]int64, err error) {
	names = make(map[string]int64)
	if len(meta.Snapshots) == 0 {
		return names, nil
	}
	list := path.Base(meta.Snapshots[0].ManifestList)
	names[list] = 0
	records, err := s.avro(filepath.Join(dir, "metadata", list))
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		at, _ := r.(map[string]any)["manifest_path"].([]byte)
		manifest := path.Base(string(at))
		names[manifest] = 0
		entries, err := s.avro(filepath.Join(dir, "metadata", manifest))
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if err := noteEntry(e, names); err != nil {
				return nil, err
			}
		}
	}
	return names, nil
}

const deletedEntry = 2 // status of a manifest entry

func noteEntry(e any, names map[string]int64) error {
	entry, _ := e.(map[string]any)
	f, ok := entry["data_file"].(map[string]any)
	if !ok {
		return errors.New("has an entry without a file")
	}
	for _, bound := range []string{"lower_bounds", "upper_bounds"} {
		if held, _ := f[bound].([]any); len(held) > 0 {
			return errors.New("holds values of a column")
		}
		if held, _ := f[bound].(map[string]any); len(held) > 0 {
			return errors.New("holds values of a column")
		}
	}
	if status, _ := entry["status"].(int64); status == deletedEntry {
		return nil
	}
	at, _ := f["file_path"].([]byte)
	names[path.Base(string(at))], _ = f["record_count"].(int64)
	return nil
}

// avro reads an Avro file in which no text may name a user.
func (s *search) avro(name string) ([]any, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	s.raw = append(s.raw, region{"manifest", name, 0})
	look, leak := s.finder(), false
	records, err := readAvro(data, func(text []byte) { leak = leak || look.in(text) != "" })
	if leak {
		return nil, errBytes
	}
	return records, err
}

// dataFile decodes a Parquet file: keys, sessions and sequence numbers of every row group whose dictionary of keys has a listed id. rows is what the manifest
// says, -1 if none does.
func (s *search) dataFile(name, key string, rows int64) error {
	in, err := os.Open(name)
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
		return errors.New("is not a Parquet file that can be understood")
	}
	if rows >= 0 && pf.NumRows() != rows {
		return errors.New("holds another number of rows than its manifest says")
	}
	end, err := onlyPages(pf)
	if err != nil {
		return err
	}
	s.raw = append(s.raw, region{"table file", name, end})
	if key == "" {
		return nil
	}
	for _, rg := range pf.RowGroups() {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		if err := s.rowGroup(pf, rg, key); err != nil {
			return err
		}
	}
	return nil
}

func (s *search) rowGroup(pf *parquet.File, rg parquet.RowGroup, key string) error {
	var cols [3]parquet.ColumnChunk
	for i, name := range []string{key, sessionColumn, seqColumn} {
		leaf, ok := pf.Schema().Lookup(name)
		if !ok {
			return fmt.Errorf("lacks column %s", name)
		}
		cols[i] = rg.ColumnChunks()[leaf.ColumnIndex]
	}
	in, err := s.mayHold(cols[0])
	if err != nil || len(in) == 0 {
		return err
	}
	var vals [3][]parquet.Value
	for i, c := range cols {
		if vals[i], err = columnValues(c); err != nil {
			return err
		}
	}
	for i, k := range vals[0] {
		session := ""
		if !vals[1][i].IsNull() {
			session = string(vals[1][i].ByteArray())
		}
		id := string(k.ByteArray())
		if s.covers(id, session, vals[2][i].Int64()) {
			return errListed
		}
		delete(in, id)
	}
	for id := range in {
		if s.Users.Has(id) {
			return errors.New("a dictionary has a listed user without a row")
		}
	}
	return nil
}

// mayHold returns the listed ids in the dictionary of a column, or in its values if it has none.
func (s *search) mayHold(chunk parquet.ColumnChunk) (in map[string]bool, err error) {
	pages := chunk.Pages()
	defer pages.Close()
	in = make(map[string]bool)
	note := func(id []byte) {
		if s.Users.Has(string(id)) || s.Sessions.Has(string(id)) {
			in[string(id)] = true
		}
	}
	for {
		p, err := pages.ReadPage()
		if err == io.EOF {
			return in, nil
		}
		if err != nil {
			return nil, errors.New("has a page that cannot be read")
		}
		if d := p.Dictionary(); d != nil {
			for i := range d.Len() {
				note(d.Index(int32(i)).ByteArray())
			}
			parquet.Release(p)
			return in, nil // one dictionary serves all pages of a column chunk
		}
		vals, err := pageValues(p)
		if err != nil {
			return nil, err
		}
		for _, v := range vals {
			note(v.ByteArray())
		}
		parquet.Release(p)
	}
}

// onlyPages checks that a file holds nothing but column pages without statistics up to its footer, and returns where the footer begins.
func onlyPages(pf *parquet.File) (end int64, err error) {
	end = 4
	for _, g := range pf.Metadata().RowGroups {
		for i := range g.Columns {
			m := &g.Columns[i].MetaData
			start := m.DataPageOffset
			if m.DictionaryPageOffset > 0 {
				start = min(start, m.DictionaryPageOffset)
			}
			if start != end {
				return 0, errors.New("holds bytes that are no page")
			}
			end += m.TotalCompressedSize
			if t := &m.Statistics; len(t.Min)+len(t.Max)+len(t.MinValue)+len(t.MaxValue) > 0 || m.BloomFilterOffset != 0 || g.Columns[i].ColumnIndexOffset != 0 {
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
			return nil, errors.New("has a page that cannot be read")
		}
		vals, err := pageValues(p)
		if err != nil {
			return nil, err
		}
		for _, v := range vals {
			out = append(out, v.Clone())
		}
		parquet.Release(p)
	}
}

func pageValues(p parquet.Page) ([]parquet.Value, error) {
	vals := make([]parquet.Value, p.NumValues())
	if n, err := p.Values().ReadValues(vals); err != nil && err != io.EOF || n != len(vals) {
		return nil, errors.New("has a page that cannot be read")
	}
	return vals, nil
}
