package dataset

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/crash"
	"github.com/palate-dev/palate/internal/userset"
)

// mask hides the rows of the listed users up to a cut, and the anonymous rows of the sessions that Erase has found for them. It stands in
// erasing/JOB/ from Hide to Unhide: users (which begins with the cut), and sessions.
type mask struct {
	job      string
	users    *userset.Set
	sessions *userset.Set // nil until they are known
	cut      int64
}

const (
	usersFile    = "users"
	sessionsFile = "sessions"
	endedPrefix  = ".ended-" // of a mask's directory while it is being destroyed: a half overwritten list must not be read as one
)

// Hide makes the users unknown to reads and to serving up to the cut, durably, and pins their list. Repeating it with the same job changes nothing.
func (e *Engine) Hide(ctx context.Context, group, job string, users *userset.Set, cut int64) error {
	if !isOpaque(group) || !isOpaque(job) {
		return errors.New("hide: a name is not of [a-z0-9-]")
	}
	g, err := e.makeGroup(group)
	if err != nil {
		return fmt.Errorf("hide: %w", err)
	}
	g.mu.Lock()
	_, done := g.masks[job]
	g.mu.Unlock()
	if done {
		return nil
	}
	m := &mask{job: job, users: users, cut: cut}
	dir := filepath.Join(g.dir, "erasing", job)
	if err := blob.MkdirAll(dir); err != nil {
		return fmt.Errorf("hide: %w", err)
	}
	text, err := users.AppendBinary(binary.LittleEndian.AppendUint64(nil, uint64(cut)))
	if err != nil {
		return fmt.Errorf("hide: %w", err)
	}
	crash.Point("hide/list")
	if err := blob.WriteFile(filepath.Join(dir, usersFile), bytes.NewReader(text)); err != nil {
		return fmt.Errorf("hide: %w", err)
	}
	g.mu.Lock()
	g.masks[job] = m
	for run := range g.imports { // what has begun before the cut must not bring them back
		if run.base <= cut {
			run.masks = append(run.masks, m)
		}
	}
	g.mu.Unlock()
	for _, t := range g.allTables() { // after the mask is in force: what is read without it is not remembered any more
		t.recall.empty()
	}
	return nil
}

// Hidden tells whether serving must treat a user as never seen up to cut.
func (e *Engine) Hidden(group, user string) (cut int64, ok bool) {
	g, found := e.group(group)
	if !found {
		return 0, false
	}
	for _, m := range g.activeMasks() {
		if m.users.Has(user) || m.sessions.Has(user) {
			cut, ok = max(cut, m.cut), true
		}
	}
	return cut, ok
}

// HiddenUsers returns the list that Hide has pinned, and its cut.
func (e *Engine) HiddenUsers(group, job string) (*userset.Set, int64, error) {
	g, ok := e.group(group)
	if ok {
		if m := g.mask(job); m != nil {
			return m.users, m.cut, nil
		}
	}
	return nil, 0, errNotHidden
}

// ErasedIDs returns every id under which Erase has removed rows: the listed users and the sessions that they signed in with. A model may know such a visitor
// by the session alone.
func (e *Engine) ErasedIDs(group, job string) (*userset.Set, error) {
	g, ok := e.group(group)
	if !ok {
		return nil, ErrNoTable
	}
	m := g.mask(job)
	if m == nil {
		return nil, errNotHidden
	}
	ids := userset.NewBuilder()
	for _, set := range []*userset.Set{m.users, m.sessions} {
		for id := range set.All() {
			ids.Add(id)
		}
	}
	return ids.Set(), nil
}

// ErasedSessions returns the sessions whose anonymous rows Erase has removed.
func (e *Engine) ErasedSessions(group, job string) (*userset.Set, error) {
	if g, ok := e.group(group); ok {
		if m := g.mask(job); m != nil {
			return m.sessions, nil
		}
	}
	return nil, errNotHidden
}

var errNotHidden = errors.New("the erasure has not hidden its users")

// Unhide destroys the mask and the list: the last step of an erasure.
func (e *Engine) Unhide(ctx context.Context, group, job string) error {
	g, ok := e.group(group)
	if !ok || !isOpaque(job) {
		return nil
	}
	if err := endMask(filepath.Join(g.dir, "erasing"), job); err != nil {
		return fmt.Errorf("unhide: %w", err)
	}
	g.mu.Lock()
	delete(g.masks, job)
	g.mu.Unlock()
	return nil
}

// endMask takes a mask out of force at one instant, then destroys its files.
func endMask(dir, job string) error {
	ended := filepath.Join(dir, endedPrefix+job)
	if err := os.Rename(filepath.Join(dir, job), ended); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := blob.SyncDir(dir); err != nil {
		return err
	}
	crash.Point("hide/ended")
	return blob.DestroyAll(ended)
}

func (g *group) mask(job string) *mask {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.masks[job]
}

// activeMasks returns all masks, by job. A mask never changes; a new version replaces it.
func (g *group) activeMasks() (all []*mask) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range g.masks {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b *mask) int { return strings.Compare(a.job, b.job) })
	return all
}

// loadMasks reads the masks of the erasures that a restart has interrupted.
func (g *group) loadMasks() error {
	dir := filepath.Join(g.dir, "erasing")
	if err := blob.Sweep(dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read masks: %w", err)
	}
	for _, d := range entries {
		if strings.HasPrefix(d.Name(), endedPrefix) {
			if err := blob.DestroyAll(filepath.Join(dir, d.Name())); err != nil {
				return err
			}
			continue
		}
		m, err := readMask(filepath.Join(dir, d.Name()), d.Name())
		if errors.Is(err, fs.ErrNotExist) { // cut off in Hide: nothing was hidden
			if err := blob.DestroyAll(filepath.Join(dir, d.Name())); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("read mask of erasure %s: %w", d.Name(), err)
		}
		g.masks[d.Name()] = m
	}
	return nil
}

func readMask(dir, job string) (*mask, error) {
	text, err := os.ReadFile(filepath.Join(dir, usersFile))
	if err != nil {
		return nil, err
	}
	if len(text) < 8 {
		return nil, errors.New("too short")
	}
	m := &mask{job: job, cut: int64(binary.LittleEndian.Uint64(text))}
	if m.users, err = userset.Read(bytes.NewReader(text[8:])); err != nil {
		return nil, err
	}
	m.sessions, err = readSessions(dir)
	return m, err
}

// readSessions returns nil if they are not known yet.
func readSessions(dir string) (*userset.Set, error) {
	text, err := os.ReadFile(filepath.Join(dir, sessionsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return userset.Read(bytes.NewReader(text))
}
