package dataset

import (
	"fmt"
	"path/filepath"
)

// What follows is for package verify, which looks at the files of the store with code of its own: it keeps them still and says which are in use.

// StillTable keeps a table's files from changing while look runs, and names the superseded data files that readers still hold: neither does any come, nor is
// one being destroyed, which is no longer among these names and half overwritten. known is false, and look is not called, if there is no such table: it may be
// on its way in or out.
func (e *Engine) StillTable(group, id string, look func(superseded []string) error) (known bool, err error) {
	g, ok := e.group(group)
	if !ok {
		return false, nil
	}
	t, ok := g.table(id)
	if !ok {
		return false, nil
	}
	t.write.Lock()
	defer t.write.Unlock()
	t.reaping.Lock()
	defer t.reaping.Unlock()
	if t.gone() {
		return false, nil
	}
	t.mu.Lock()
	var names []string
	for _, f := range t.garbage {
		names = append(names, filepath.Base(f.path))
	}
	t.mu.Unlock()
	return true, look(names)
}

// StillLog keeps the segments of a group's log from coming and going while look runs. Events may be appended meanwhile.
func (e *Engine) StillLog(group string, look func() error) error {
	g, ok := e.group(group)
	if !ok {
		return nil
	}
	g.folding.Lock()
	defer g.folding.Unlock()
	return look()
}

// Staged tells whether work in progress owns a directory of the group's staging.
func (e *Engine) Staged(group, name string) bool {
	g, ok := e.group(group)
	if !ok {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.staged[filepath.Join(g.dir, "staging", name)]
}

// Erasing tells whether the mask of an erasure is in force.
func (e *Engine) Erasing(group, job string) bool {
	g, ok := e.group(group)
	return ok && g.mask(job) != nil
}

// Remembered yields every row of users that stands in memory: rows that are not folded yet, live events, imported events and records that serving looks up.
func (e *Engine) Remembered(group string, yield func(place, key, session string, seq int64)) error {
	g, ok := e.group(group)
	if !ok {
		return nil
	}
	for _, t := range g.allTables() {
		if !t.kind.HoldsUsers() {
			continue
		}
		t.mu.Lock()
		rows, l, records := t.mem.clone(), t.layout, t.index
		t.mu.Unlock()
		if err := rows.each(l, func(r *memRow) error {
			yield("streamed rows in memory", r.key(l), r.session, r.seq)
			return nil
		}); err != nil {
			return fmt.Errorf("rows of table %s in memory: %w", t.id, err)
		}
		records.each(func(key string, seq int64) { yield("records in memory", key, "", seq) })
		t.recall.each(func(user string, seq int64) { yield("imported events in memory", user, "", seq) })
	}
	for _, x := range []*liveIndex{g.live, g.acted} {
		x.each(func(user string, seq int64) { yield("live events in memory", user, user, seq) })
	}
	return nil
}

// each yields the keys of all records.
func (x *index) each(yield func(key string, seq int64)) {
	if x == nil {
		return
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	for key, rec := range x.records {
		yield(key, rec.seq)
	}
}
