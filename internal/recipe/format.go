package recipe

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/dataset"
)

// format is the version of the model directory, see FORMAT.md.
const format = 1

// ManifestName is the file of a model directory that describes the rest.
const ManifestName = "manifest.json"

// ErrCorrupt says that a model directory is torn, altered, or not one.
var ErrCorrupt = errors.New("model directory is damaged")

// ErrNotTrainable says that this build has no trainer for a recipe.
var ErrNotTrainable = errors.New("this build cannot train it")

// Manifest describes a model directory. Hash covers everything but itself, Seq and Build.
type Manifest struct {
	Format   int                `json:"format"`
	Recipe   string             `json:"recipe"` // the trainer
	Config   Config             `json:"config"`
	Users    int64              `json:"users"`
	Items    int64              `json:"items"`
	Events   int64              `json:"events"`
	Settings map[string]float64 `json:"settings"` // what the trainer derived from the data
	Metrics  map[string]float64 `json:"metrics"`
	Tuned    map[string]string  `json:"tuned,omitempty"` // what the search of the configuration chose
	Arrays   []Array            `json:"arrays"`
	Hash     string             `json:"hash"`
	Seq      int64              `json:"seq"` // events up to this sequence number were in the data
	Build    string             `json:"build"`
}

// Array is one file of a model directory: Count little-endian numbers of a Type.
type Array struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Count  int64  `json:"count"`
	SHA256 string `json:"sha256"`
}

// hash is the model's identity: two models with the same hash answer the same.
func (m *Manifest) hash() (string, error) {
	bare := *m
	bare.Hash, bare.Seq, bare.Build = "", 0, ""
	text, err := json.Marshal(bare)
	if err != nil {
		return "", fmt.Errorf("encode model manifest: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// buildID names the program that trained a model, for people.
func buildID() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version + " " + info.GoVersion
}

// element is the type of an array's numbers.
type element interface {
	uint8 | uint16 | int32 | int64 | float32 | float64
}

// modelWriter writes a model directory: the arrays, and at last the manifest, without which the directory is no model. The first error sticks.
type modelWriter struct {
	dir     string
	reserve int64 // bytes that stay free on the disk
	arrays  []Array
	err     error
}

// createModel starts a directory, in place of whatever an interrupted attempt has left there.
func createModel(dir string, reserve int64) (*modelWriter, error) {
	if _, err := os.Lstat(dir); err == nil {
		if err := blob.DestroyAll(dir); err != nil {
			return nil, fmt.Errorf("destroy unfinished model: %w", err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("create model: %w", err)
	}
	if err := blob.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("create model: %w", err)
	}
	return &modelWriter{dir: dir, reserve: reserve}, nil
}

// put writes one array.
func put[T element](w *modelWriter, name string, values []T) {
	if w.err != nil {
		return
	}
	if w.err = blob.CheckRoom(w.dir, int64(binary.Size(values))+w.reserve); w.err != nil {
		return
	}
	sum := sha256.New()
	w.err = createFile(filepath.Join(w.dir, name), func(f io.Writer) error { return encode(io.MultiWriter(f, sum), values) })
	if w.err != nil {
		return
	}
	var zero T
	w.arrays = append(w.arrays, Array{name, fmt.Sprintf("%T", zero), int64(len(values)), hex.EncodeToString(sum.Sum(nil))})
}

// encode writes the numbers in little-endian order.
func encode[T element](w io.Writer, values []T) error {
	var buf []byte
	for len(values) > 0 {
		n := min(len(values), 1<<16)
		var err error
		if buf, err = binary.Append(buf[:0], binary.LittleEndian, values[:n]); err != nil {
			return err
		}
		if _, err = w.Write(buf); err != nil {
			return err
		}
		values = values[n:]
	}
	return nil
}

// createFile writes a new file and waits until it is on the disk.
func createFile(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("create model file: %w", err)
	}
	buffered := bufio.NewWriterSize(f, 1<<18)
	err = write(buffered)
	err = errors.Join(err, buffered.Flush(), f.Sync(), f.Close())
	if err != nil {
		return fmt.Errorf("write model file: %w", err)
	}
	return nil
}

// putStrings writes a list of strings as the array of their bytes and the array of their ends.
func putStrings(w *modelWriter, name string, list []string) {
	offsets := make([]int64, 1, len(list)+1)
	var text []byte
	for _, s := range list {
		text = append(text, s...)
		offsets = append(offsets, int64(len(text)))
	}
	put(w, name+".text", text)
	put(w, name+".offsets", offsets)
}

// input writes what the model was trained on.
func (w *modelWriter) input(in *input) {
	putStrings(w, "user", in.kept.Users)
	putStrings(w, "item", in.items)
	putStrings(w, "type", in.kept.Types)
	put(w, "item.listed", in.listed)
	put(w, "event.offsets", in.kept.Offsets)
	put(w, "event.item", in.kept.Item)
	put(w, "event.type", in.kept.Type)
	put(w, "event.time", in.kept.Time)
	put(w, "event.value", in.kept.Value)
	if in.acted != nil {
		putStrings(w, "actor", in.acted.Users)
		putStrings(w, "action", in.actions)
		put(w, "action.listed", in.listedActions)
		putStrings(w, "reaction", in.acted.Types)
		put(w, "acted.offsets", in.acted.Offsets)
		put(w, "acted.action", in.acted.Item)
		put(w, "acted.type", in.acted.Type)
		put(w, "acted.time", in.acted.Time)
	}
	if len(in.kept.Context) > 0 {
		var names []string
		var kinds []uint8
		for k, c := range in.kept.Context {
			names, kinds = append(names, c.Name), append(kinds, uint8(kindOf(&c)))
			putStrings(w, fmt.Sprintf("event.context.%d.level", k), c.Levels)
			put(w, fmt.Sprintf("event.context.%d.code", k), c.Code)
		}
		putStrings(w, "event.context.column", names)
		put(w, "event.context.kind", kinds)
	}
	w.attributes("items", in.itemRows)
	w.attributes("users", in.userRows)
	if in.userRows != nil { // those of items are the listed ones
		putStrings(w, "users.id", in.userRows.IDs)
	}
}

// kindOf is the kind of a context column.
func kindOf(c *dataset.EventColumn) ColumnKind {
	if c.Numeric {
		return Number
	}
	return Levels
}

// attributes writes the columns of a dataset: their names and kinds, and of column n the arrays that its kind has.
func (w *modelWriter) attributes(name string, a *Attributes) {
	if a == nil {
		return
	}
	var names []string
	var kinds []uint8
	for i := range a.Columns {
		c := &a.Columns[i]
		names, kinds = append(names, c.Name), append(kinds, uint8(c.Kind))
		of := fmt.Sprintf("%s.%d", name, i)
		switch c.Kind {
		case Levels:
			putStrings(w, of+".level", c.Level)
			put(w, of+".start", c.Start)
			put(w, of+".cell", c.Cell)
		case Number:
			put(w, of+".number", c.Number)
		default:
			putStrings(w, of, c.Text)
		}
	}
	putStrings(w, name+".column", names)
	put(w, name+".kind", kinds)
}

// commit completes the manifest and makes the directory a model.
func (w *modelWriter) commit(m *Manifest) (err error) {
	if w.err != nil {
		return w.err
	}
	if err := blob.SyncDir(w.dir); err != nil {
		return fmt.Errorf("sync model directory: %w", err)
	}
	m.Arrays = w.arrays
	if m.Hash, err = m.hash(); err != nil {
		return err
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("encode model manifest: %w", err)
	}
	if err := blob.WriteFile(filepath.Join(w.dir, ManifestName), bytes.NewReader(append(text, '\n'))); err != nil {
		return fmt.Errorf("write model manifest: %w", err)
	}
	return nil
}
