package shop

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
)

// assertNoBytesOf searches every file below the data directory but the customers' buckets: Parquet decoded, everything as it stands.
func (h *Shop) AssertNoBytesOf(ids ...string) {
	h.T.Helper()
	err := filepath.WalkDir(h.Data, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone since its directory was read: the server is at work
		}
		if err != nil || e.IsDir() {
			if e != nil && strings.HasPrefix(e.Name(), "buckets") {
				return fs.SkipDir
			}
			return err
		}
		found, err := contents(path)
		for deadline := time.Now().Add(10 * time.Second); err != nil && !errors.Is(err, fs.ErrNotExist) && time.Now().Before(deadline); <-time.After(10 * time.Millisecond) {
			found, err = contents(path) // a superseded file that is being overwritten is no Parquet file any more, and soon gone
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, id := range ids {
			if bytes.Contains(found, []byte(id)) {
				name, _ := filepath.Rel(h.Data, path)
				h.T.Errorf("%s still holds an id", name)
			}
		}
		return nil
	})
	if err != nil {
		h.T.Fatal(err)
	}
}

// contents are the bytes of a file, followed by the text of every value if it is a Parquet file.
func contents(path string) ([]byte, error) {
	raw, err := os.ReadFile(path)
	if err != nil || filepath.Ext(path) != ".parquet" {
		return raw, err
	}
	f, err := parquet.OpenFile(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		return nil, err
	}
	var rows [64]parquet.Row
	for _, group := range f.RowGroups() {
		r := group.Rows()
		for {
			n, err := r.ReadRows(rows[:])
			for _, row := range rows[:n] {
				for _, v := range row {
					raw = append(append(raw, v.String()...), 0)
				}
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				return nil, err
			}
		}
		if err := r.Close(); err != nil {
			return nil, err
		}
	}
	return raw, nil
}

// modelBytes hashes every array of the only model on the server; the manifest, which also tells when and from what it was built, is left out.
func (h *Shop) ModelBytes() map[string]string {
	h.T.Helper()
	dirs := h.ModelDirs()
	if len(dirs) != 1 {
		h.T.Fatalf("want one model directory, found %d", len(dirs))
	}
	return h.hashes(dirs[0])
}

// modelBytesOfNewest does the same for the model that was written last.
func (h *Shop) ModelBytesOfNewest() map[string]string {
	h.T.Helper()
	newest := slices.MaxFunc(h.ModelDirs(), func(a, b string) int { return h.modified(a).Compare(h.modified(b)) })
	return h.hashes(newest)
}

// AllModelBytes does the same for all models, in an order that depends on nothing else.
func (h *Shop) AllModelBytes() (models []map[string]string) {
	h.T.Helper()
	for _, dir := range h.ModelDirs() {
		models = append(models, h.hashes(dir))
	}
	slices.SortFunc(models, func(a, b map[string]string) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return models
}

// ModelDirs lists the directories of all models on the server.
func (h *Shop) ModelDirs() []string {
	h.T.Helper()
	dirs, err := filepath.Glob(filepath.Join(h.Data, "store", "models", "*"))
	if err != nil || len(dirs) == 0 {
		h.T.Fatalf("no model directory (%v)", err)
	}
	return dirs
}

func (h *Shop) modified(path string) time.Time {
	h.T.Helper()
	info, err := os.Stat(filepath.Join(path, "manifest.json"))
	if err != nil {
		h.T.Fatal(err)
	}
	return info.ModTime()
}

func (h *Shop) hashes(dir string) map[string]string {
	h.T.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		h.T.Fatal(err)
	}
	sums := map[string]string{}
	for _, e := range entries {
		if e.Name() == "manifest.json" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			h.T.Fatal(err)
		}
		sum := sha256.Sum256(text)
		sums[e.Name()] = hex.EncodeToString(sum[:])
	}
	return sums
}
