package dataset

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/palate-dev/palate/internal/blob"
)

const (
	orphanAge = 24 * time.Hour // a file in incoming that is older and was never committed belongs to a writer that has died
	halfAge   = time.Hour      // and one that is half written for so long too
)

// destroyForeign destroys a file below incoming. A link, in the place of the file or of a directory above it, is taken away and what it leads to is left
// alone.
func (t *tableState) destroyForeign(path string) error {
	for p := filepath.Dir(path); p != t.incomingDir(); p = filepath.Dir(p) {
		info, err := os.Lstat(p)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return os.Remove(p)
		}
	}
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !info.Mode().IsRegular() || ok && st.Nlink > 1 {
		return os.Remove(path)
	}
	if err := blob.Destroy(path); err != nil {
		return err
	}
	// Hadoop's file system keeps checksums beside a file.
	return os.RemoveAll(filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".crc"))
}

// leftoverFile is the list, in incoming, of files there that are of no use once the pointer is ours: what has been taken over or undone. A crash must not make
// us forget them.
const leftoverFile = ".leftover"

// noteLeftover adds paths to the list, durably.
func (t *tableState) noteLeftover(paths map[string]bool) error {
	known, err := t.leftover()
	if err != nil || len(paths) == 0 {
		return err
	}
	for p := range paths {
		rel, err := filepath.Rel(t.incomingDir(), p)
		if err != nil {
			return err
		}
		if !slices.Contains(known, rel) {
			known = append(known, rel)
		}
	}
	slices.Sort(known)
	text, err := json.Marshal(known)
	if err != nil {
		return err
	}
	return blob.WriteFile(filepath.Join(t.incomingDir(), leftoverFile), bytes.NewReader(text))
}

// leftover reads the list.
func (t *tableState) leftover() (rels []string, err error) {
	text, err := os.ReadFile(filepath.Join(t.incomingDir(), leftoverFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &rels); err != nil {
		return nil, fmt.Errorf("list of leftover files: %w", err)
	}
	return rels, nil
}

// destroyLeftover destroys what is on the list, and then the list. The pointer must be ours.
func (t *tableState) destroyLeftover() error {
	rels, err := t.leftover()
	if err != nil || len(rels) == 0 {
		return err
	}
	for _, rel := range rels {
		if !filepath.IsLocal(rel) {
			continue
		}
		if err := t.destroyForeign(filepath.Join(t.incomingDir(), rel)); err != nil {
			return err
		}
	}
	if err := t.pruneIncoming(); err != nil {
		return err
	}
	return blob.Discard(filepath.Join(t.incomingDir(), leftoverFile))
}

// sweepUnfinished destroys what a crash has left of a list that was being written or destroyed.
func (t *tableState) sweepUnfinished() error {
	entries, err := os.ReadDir(t.incomingDir())
	if err != nil {
		return fmt.Errorf("sweep incoming: %w", err)
	}
	for _, d := range entries {
		if !blob.Unfinished(d.Name()) {
			continue
		}
		if err := t.destroyForeign(filepath.Join(t.incomingDir(), d.Name())); err != nil {
			return err
		}
	}
	return nil
}

// pruneIncoming removes the directories of partitions that are empty.
func (t *tableState) pruneIncoming() error {
	entries, err := os.ReadDir(t.incomingDir())
	if err != nil {
		return err
	}
	for _, d := range entries {
		if d.IsDir() {
			os.Remove(filepath.Join(t.incomingDir(), d.Name())) // it fails where there still are files
		}
	}
	return nil
}

// eachIncoming yields every file in incoming, links and all.
func (t *tableState) eachIncoming(yield func(path string, info fs.FileInfo) error) error {
	return eachFile(t.incomingDir(), yield)
}

// eachFile yields every file below a directory, links and all, but those that go away meanwhile.
func eachFile(dir string, yield func(path string, info fs.FileInfo) error) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return yield(path, info)
	})
}

// sweepIncoming takes over what has been committed and destroys what must not stay in incoming: copies of rows that the mask covers, which another engine
// made of files that are gone by now, and what writers that died have left. Files of a write in progress that hold none of it are left alone.
func (t *tableState) sweepIncoming(ctx context.Context, m *mask) error {
	t.write.Lock()
	defer t.write.Unlock()
	if t.gone() {
		return nil
	}
	if err := t.adopt(ctx); err != nil {
		return err
	}
	err := t.eachIncoming(func(path string, info fs.FileInfo) error {
		age := time.Since(info.ModTime())
		stays := info.Mode().IsRegular() && age < orphanAge
		if stays && m != nil && t.kind.HoldsUsers() && strings.HasSuffix(path, ".parquet") {
			covered, err := t.holdsCovered(ctx, path, m)
			if errors.Is(err, fs.ErrNotExist) || ctx.Err() != nil {
				return ctx.Err()
			}
			stays = !covered && (err == nil || age < halfAge)
		}
		if stays {
			return nil
		}
		return t.destroyForeign(path)
	})
	if err != nil {
		return fmt.Errorf("sweep incoming: %w", err)
	}
	return t.pruneIncoming()
}

// holdsCovered tells whether a data file holds a row that the mask covers.
func (t *tableState) holdsCovered(ctx context.Context, path string, m *mask) (found bool, err error) {
	rules := newForeignRules(t.layout, "")
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	pf, err := openForeign(f)
	if err != nil {
		return false, err
	}
	ids, err := rules.fields(pf.Metadata())
	if err != nil {
		return false, err
	}
	defer func() {
		if panicked := recover(); panicked != nil {
			err = refuse("it is damaged")
		}
	}()
	for _, group := range pf.RowGroups() {
		err := eachForeign(ctx, group, func(values parquet.Row) error {
			var key, session string
			var seq int64
			for _, v := range values {
				switch id := ids[v.Column()]; {
				case v.IsNull():
				case id == t.layout.cols[t.layout.key].id:
					key = foreignText(v)
				case id == t.layout.system[sessionColumn]:
					session = foreignText(v)
				case id == t.layout.system[seqColumn]:
					seq = v.Int64()
				}
			}
			found = found || seq > 0 && seq <= m.cut && (m.users.Has(key) || m.sessions.Has(key) && session == key)
			return nil
		})
		if err != nil || found {
			return found, err
		}
	}
	return false, nil
}

// tidyIncoming destroys what dead writers have left in any table.
func (e *Engine) tidyIncoming(ctx context.Context) error {
	for _, g := range e.allGroups() {
		for _, t := range g.allTables() {
			if err := t.sweepIncoming(ctx, nil); err != nil {
				return fmt.Errorf("table %s: %w", t.id, err)
			}
		}
	}
	return nil
}
