package dataset

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/crash"
	"github.com/palate-dev/palate/internal/userset"
)

// lateKept is how long a filter of late events is kept: longer than SDKs and queues of clients try again.
const lateKept = 24 * time.Hour

// lateFilter keeps out events that a client sent before an erasure's cut and that arrive after it: a retry must not bring a user back. It holds keyed hashes
// of ids and no id, stands in late/JOB from the moment before the cut, and is destroyed with its key after a day.
type lateFilter struct {
	job    string
	cut    time.Time // the time just before the cut, by the clock that is furthest ahead
	expiry time.Time // by the clock that is furthest behind
	key    [32]byte
	hashes []uint64 // sorted: the first eight bytes of HMAC-SHA256(key, id)
}

const (
	lateMagic  = "PALLATE1"
	lateHeader = 8 + 8 + 8 + 32 + 8
)

func (f *lateFilter) hash(id string) uint64 {
	h := hmac.New(sha256.New, f.key[:])
	h.Write([]byte(id))
	return binary.LittleEndian.Uint64(h.Sum(nil))
}

// holds tells whether an event of that id was sent before the cut.
func (f *lateFilter) holds(id string, sent, now time.Time) bool {
	if !sent.Before(f.cut) || !now.Before(f.expiry) { // most events cost no hash
		return false
	}
	_, found := slices.BinarySearch(f.hashes, f.hash(id))
	return found
}

// with returns the filter with more ids.
func (f *lateFilter) with(ids *userset.Set) *lateFilter {
	more := *f
	more.hashes = slices.Clone(f.hashes)
	for id := range ids.All() {
		more.hashes = append(more.hashes, f.hash(id))
	}
	slices.Sort(more.hashes)
	more.hashes = slices.Compact(more.hashes)
	return &more
}

func (f *lateFilter) encode() []byte {
	b := binary.LittleEndian.AppendUint64([]byte(lateMagic), uint64(f.expiry.Unix()))
	b = binary.LittleEndian.AppendUint64(b, uint64(f.cut.UnixNano()))
	b = append(b, f.key[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(f.hashes)))
	for _, h := range f.hashes {
		b = binary.LittleEndian.AppendUint64(b, h)
	}
	return binary.LittleEndian.AppendUint32(b, castagnoli(b))
}

func decodeLate(job string, b []byte) (*lateFilter, error) {
	if len(b) < lateHeader+4 || string(b[:8]) != lateMagic || castagnoli(b[:len(b)-4]) != binary.LittleEndian.Uint32(b[len(b)-4:]) {
		return nil, errors.New("damaged")
	}
	f := &lateFilter{job: job, expiry: time.Unix(int64(binary.LittleEndian.Uint64(b[8:])), 0), cut: time.Unix(0, int64(binary.LittleEndian.Uint64(b[16:])))}
	copy(f.key[:], b[24:])
	if n := len(b) - lateHeader - 4; n%8 != 0 || binary.LittleEndian.Uint64(b[56:]) != uint64(n/8) {
		return nil, errors.New("damaged")
	}
	for at := lateHeader; at < len(b)-4; at += 8 {
		f.hashes = append(f.hashes, binary.LittleEndian.Uint64(b[at:]))
	}
	return f, nil
}

// KeepLateOut begins to keep out events of the users that were sent before now. An erasure calls it before it takes its cut, so that no such event comes in
// between; repeating it before the cut moves the time.
func (e *Engine) KeepLateOut(ctx context.Context, group, job string, users *userset.Set) error {
	if !isOpaque(group) || !isOpaque(job) {
		return errors.New("keep late events out: a name is not of [a-z0-9-]")
	}
	g, err := e.makeGroup(group)
	if err != nil {
		return fmt.Errorf("keep late events out: %w", err)
	}
	earliest, latest := e.clock.bounds()
	f := &lateFilter{job: job, cut: latest, expiry: earliest.Add(lateKept)}
	rand.Read(f.key[:])
	if err := g.setLate(f.with(users)); err != nil {
		return fmt.Errorf("keep late events out: %w", err)
	}
	return nil
}

// Late tells whether an event must be dropped: it was sent before the cut of an erasure that lists its owner, the user or the anonymous session.
func (e *Engine) Late(group, owner string, sent time.Time) bool {
	g, ok := e.group(group)
	if !ok {
		return false
	}
	g.mu.Lock()
	filters := g.late
	g.mu.Unlock()
	if len(filters) == 0 {
		return false
	}
	now, _ := e.clock.bounds()
	return slices.ContainsFunc(filters, func(f *lateFilter) bool { return f.holds(owner, sent, now) })
}

// lateSessions adds the sessions that an erasure has found.
func (g *group) lateSessions(m *mask) error {
	g.mu.Lock()
	at := slices.IndexFunc(g.late, func(f *lateFilter) bool { return f.job == m.job })
	var f *lateFilter
	if at >= 0 {
		f = g.late[at]
	}
	g.mu.Unlock()
	if f == nil || m.sessions.Len() == 0 {
		return nil
	}
	return g.setLate(f.with(m.sessions))
}

// setLate stores a filter, in place of an older one of its job, and puts it in force. The list of filters is replaced, never changed.
func (g *group) setLate(f *lateFilter) error {
	crash.Point("hide/late")
	if err := blob.WriteFile(filepath.Join(g.dir, "late", f.job), bytes.NewReader(f.encode())); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.late = append(slices.DeleteFunc(slices.Clone(g.late), func(old *lateFilter) bool { return old.job == f.job }), f)
	return nil
}

// loadLate reads the filters that are still in force, and destroys the others.
func (g *group) loadLate() error {
	dir := filepath.Join(g.dir, "late")
	if err := blob.Sweep(dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read filters of late events: %w", err)
	}
	for _, d := range entries {
		b, err := os.ReadFile(filepath.Join(dir, d.Name()))
		if err != nil {
			return fmt.Errorf("read filters of late events: %w", err)
		}
		f, err := decodeLate(d.Name(), b)
		if err != nil {
			return fmt.Errorf("read filter of late events of erasure %s: %w", d.Name(), err)
		}
		g.late = append(g.late, f)
	}
	return g.expireLate()
}

// expireLate destroys the filters whose time is over.
func (g *group) expireLate() error {
	now, _ := g.e.clock.bounds()
	g.mu.Lock()
	var over []string
	g.late = slices.DeleteFunc(slices.Clone(g.late), func(f *lateFilter) bool {
		if now.Before(f.expiry) {
			return false
		}
		over = append(over, f.job)
		return true
	})
	g.mu.Unlock()
	for _, job := range over {
		if err := blob.Discard(filepath.Join(g.dir, "late", job)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("destroy filter of late events: %w", err)
		}
	}
	return nil
}

// expireLate destroys what has expired in every group.
func (e *Engine) expireLate() {
	for _, g := range e.allGroups() {
		if err := g.expireLate(); err != nil {
			e.log.Error("expire filters of late events", "group", g.id, "error", err)
		}
	}
}
