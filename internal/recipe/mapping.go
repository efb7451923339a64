package recipe

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"unsafe"

	"golang.org/x/sync/errgroup"

	"github.com/palate-dev/palate/internal/pace"
)

// mapping is a checked model directory in memory.
type mapping struct {
	manifest Manifest
	data     map[string][]byte // by array name
	unmap    []func() error
}

var arrayName = regexp.MustCompile(`^[a-z]+(\.[a-z]+|\.[0-9]+)*$`)

// openMapping maps every array of the directory and compares it with its hash.
func openMapping(dir string) (_ *mapping, err error) {
	m := &mapping{data: map[string][]byte{}}
	defer func() {
		if err != nil {
			m.close()
		}
	}()
	text, err := os.ReadFile(filepath.Join(dir, ManifestName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("open model: %w: no manifest", ErrCorrupt)
	}
	if err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	if m.manifest, err = parseManifest(text); err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	if err := m.checkNames(dir); err != nil {
		return nil, err
	}
	for _, a := range m.manifest.Arrays {
		data, unmap, err := mapFile(filepath.Join(dir, a.Name))
		if err != nil {
			return nil, fmt.Errorf("open model: array %s: %w", a.Name, err)
		}
		m.data[a.Name], m.unmap = data, append(m.unmap, unmap)
	}
	return m, m.checkHashes()
}

// checkHashes reads every array once, on all cores, because requests wait for it.
func (m *mapping) checkHashes() error {
	var g errgroup.Group
	g.SetLimit(pace.Cores())
	for _, a := range m.manifest.Arrays {
		g.Go(func() error {
			if sum := sha256.Sum256(m.data[a.Name]); hex.EncodeToString(sum[:]) != a.SHA256 {
				return fmt.Errorf("open model: array %s: %w: it does not have its hash", a.Name, ErrCorrupt)
			}
			return nil
		})
	}
	return g.Wait()
}

// parseManifest reads a manifest of this format that has its hash.
func parseManifest(text []byte) (m Manifest, err error) {
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("%w: manifest: %w", ErrCorrupt, err)
	}
	if m.Format != format {
		return m, fmt.Errorf("format %d is not %d, the one of this build", m.Format, format)
	}
	if want, err := m.hash(); err != nil || want != m.Hash {
		return m, fmt.Errorf("%w: the manifest does not have its hash", ErrCorrupt)
	}
	for _, a := range m.Arrays {
		if !arrayName.MatchString(a.Name) {
			return m, fmt.Errorf("%w: bad array name", ErrCorrupt)
		}
	}
	return m, nil
}

// checkNames holds the files of the directory against the manifest: neither more nor fewer.
func (m *mapping) checkNames(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("open model: %w", err)
	}
	var have []string
	want := []string{ManifestName}
	for _, e := range entries {
		have = append(have, e.Name())
	}
	for _, a := range m.manifest.Arrays {
		want = append(want, a.Name)
	}
	slices.Sort(want)
	if !slices.Equal(have, want) {
		return fmt.Errorf("open model: %w: its files are not those of the manifest", ErrCorrupt)
	}
	return nil
}

func (m *mapping) close() error {
	var errs []error
	for _, unmap := range m.unmap {
		errs = append(errs, unmap())
	}
	m.unmap, m.data = nil, nil
	return errors.Join(errs...)
}

// array views a mapped array as numbers. On a big-endian machine it is a converted copy.
func array[T element](m *mapping, name string) ([]T, error) {
	i := slices.IndexFunc(m.manifest.Arrays, func(a Array) bool { return a.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("open model: %w: no array %s", ErrCorrupt, name)
	}
	a, data := m.manifest.Arrays[i], m.data[name]
	var zero T
	size := int64(unsafe.Sizeof(zero))
	if a.Type != fmt.Sprintf("%T", zero) || a.Count < 0 || a.Count != int64(len(data))/size || int64(len(data))%size != 0 {
		return nil, fmt.Errorf("open model: %w: array %s has another type or length", ErrCorrupt, name)
	}
	if a.Count == 0 {
		return nil, nil
	}
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		return unsafe.Slice((*T)(unsafe.Pointer(&data[0])), a.Count), nil // maps start at a page, so it is aligned
	}
	values := make([]T, a.Count)
	_, err := binary.Decode(data, binary.LittleEndian, values)
	return values, err
}

// stringTable is a sorted list of strings in two arrays.
type stringTable struct {
	text    []byte
	offsets []int64
}

func (t *stringTable) len() int { return max(0, len(t.offsets)-1) }

// at is string i; it points into the mapping.
func (t *stringTable) at(i int) string {
	b := t.text[t.offsets[i]:t.offsets[i+1]]
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// find returns the index of s.
func (t *stringTable) find(s string) (int, bool) {
	low, high := 0, t.len()
	for low < high {
		mid := int(uint(low+high) >> 1)
		if t.at(mid) < s {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, low < t.len() && t.at(low) == s
}

func table(m *mapping, name string) (t stringTable, err error) {
	if t.text, err = array[uint8](m, name+".text"); err != nil {
		return t, err
	}
	if t.offsets, err = array[int64](m, name+".offsets"); err != nil {
		return t, err
	}
	if len(t.offsets) == 0 || t.offsets[0] != 0 || t.offsets[t.len()] != int64(len(t.text)) || !slices.IsSorted(t.offsets) {
		return t, fmt.Errorf("open model: %w: table %s", ErrCorrupt, name)
	}
	return t, nil
}

// strings views the whole table; they point into the mapping.
func (t *stringTable) strings() []string {
	list := make([]string, t.len())
	for i := range list {
		list[i] = t.at(i)
	}
	return list
}

// attributes opens the columns of a dataset with that many rows; nil if the model has none. Strings point into the mapping, and the ids are left to the caller.
func attributes(m *mapping, name string, rows int) (*Attributes, error) {
	if _, ok := m.data[name+".kind"]; !ok {
		return nil, nil
	}
	kinds, err := array[uint8](m, name+".kind")
	if err != nil {
		return nil, err
	}
	names, err := table(m, name+".column")
	if err != nil {
		return nil, err
	}
	if names.len() != len(kinds) {
		return nil, fmt.Errorf("open model: %w: columns of %s", ErrCorrupt, name)
	}
	a := &Attributes{Columns: make([]Column, len(kinds))}
	for i, kind := range kinds {
		c := &a.Columns[i]
		c.Name, c.Kind = names.at(i), ColumnKind(kind)
		if err := c.open(m, fmt.Sprintf("%s.%d", name, i), rows); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (c *Column) open(m *mapping, name string, rows int) (err error) {
	fits := false
	switch c.Kind {
	case Levels:
		level, err := table(m, name+".level")
		if err != nil {
			return err
		}
		if c.Start, err = array[int64](m, name+".start"); err != nil {
			return err
		}
		if c.Cell, err = array[int32](m, name+".cell"); err != nil {
			return err
		}
		c.Level = level.strings()
		fits = len(c.Start) == rows+1 && c.Start[0] == 0 && c.Start[rows] == int64(len(c.Cell)) && slices.IsSorted(c.Start) &&
			!slices.ContainsFunc(c.Cell, func(l int32) bool { return l < 0 || int(l) >= len(c.Level) })
	case Number:
		c.Number, err = array[float64](m, name+".number")
		fits = len(c.Number) == rows
	case Text, Title:
		var text stringTable
		text, err = table(m, name)
		fits = err == nil && text.len() == rows
		if fits {
			c.Text = text.strings()
		}
	}
	if err == nil && !fits {
		err = fmt.Errorf("open model: %w: column %s", ErrCorrupt, name)
	}
	return err
}
