// Package shown remembers what answers to requests showed: for each recommendationId the campaign or recommender and the items, so that an event that names
// it tells what its user chose among, and whose recommendation that was. Users it never knows.
//
// The record is a help, not a ledger, and promises accordingly:
//
//   - It is bounded in bytes and in age. What is beyond either is forgotten, the oldest first, a segment at a time. So is its index in memory: 30 to 40 bytes of an answer,
//     each of which counts for at least 128.
//   - What was noted is written to a file within a second or so, without a sync: an orderly end loses nothing, a process that is killed loses the last moment, a
//     power cut possibly more. A damaged end of a file is passed over. A disk that is full loses what could not be written, and nobody's request fails for it.
//   - Note does not wait for the disk.
//   - Forget takes the items out of everything that was noted of a dataset group, durably: lists were made for users, some of whom are to be forgotten, and
//     nobody knows which. What stays is that there was an answer, of which target and when.
//
// FORMAT.md describes the files.
package shown

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/palate-dev/palate/internal/blob"
)

// Prefix begins every recommendationId; a UUID follows.
const Prefix = "RID-"

// NewID returns the recommendationId of a new answer.
func NewID() string { return Prefix + uuid.NewString() }

const (
	segments      = 8                // that the bytes are divided into
	flushPeriod   = time.Second      // between writes
	pendingBytes  = 32 << 20         // what waits to be written; more is not remembered
	spareBytes    = 8 << 20          // room that is kept between flushes
	seldomChecked = 10 * time.Minute // how often age is looked at
	leastBytes    = 128              // that an answer counts for: the index holds a quarter of that in memory
)

// Answer is one answer to a request.
type Answer struct {
	Target string // ARN of the campaign or recommender
	Group  string // the dataset engine's name of its dataset group
	Items  []string
	At     time.Time
}

// Options bound a Log.
type Options struct {
	Bytes int64         // of all files together, answers of less than 128 bytes counted as that; 0: nothing is remembered
	Age   time.Duration // what is older is forgotten; 0: nothing is remembered
	Log   *slog.Logger
	Clock func() time.Time // nil means time.Now
}

// Log is the record. It is safe for concurrent use. A nil Log remembers nothing.
type Log struct {
	dir     string
	options Options
	stop    chan struct{}
	stopped chan struct{}

	rewriting sync.Mutex // one Forget at a time, and no Impressions beside it
	writing   sync.Mutex // one flush at a time, and until what is forgotten thereby is destroyed

	mu       sync.Mutex
	segments []*segment // the oldest first; the last one is being written
	pending  []byte     // records that belong at the end of the last segment
	flushing []byte     // records before them that are being written
	spare    []byte     // room for what will be pending, which was flushed before: a second's answers of a busy server are megabytes
	failing  bool       // the last flush failed, and was reported
	number   uint64     // of the next segment
}

// Open reads the record in a directory, which it makes if it is not there.
func Open(dir string, o Options) (*Log, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	l := &Log{dir: dir, options: o, stop: make(chan struct{}), stopped: make(chan struct{})}
	if err := blob.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("open the record of answers: %w", err)
	}
	if err := l.load(); err != nil {
		return nil, fmt.Errorf("open the record of answers: %w", err)
	}
	go l.flushLoop()
	return l, nil
}

// load reads the segments that are there, and begins another.
func (l *Log) load() error {
	if err := blob.Sweep(l.dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return err
	}
	for _, d := range entries { // by name, which is fixed-width hexadecimal
		if !strings.HasSuffix(d.Name(), segmentSuffix) {
			return fmt.Errorf("%s is not a segment", d.Name())
		}
		s, err := readSegment(filepath.Join(l.dir, d.Name()))
		if err != nil {
			return err
		}
		l.number = max(l.number, s.number+1)
		if s.size <= int64(len(magic)) { // nothing came into it
			if err := errors.Join(s.file.Close(), blob.Destroy(s.path)); err != nil {
				return err
			}
			continue
		}
		l.segments = append(l.segments, s)
	}
	if err := l.begin(); err != nil {
		return err
	}
	return destroy(l.shrink())
}

// Close writes what is pending and ends the log.
func (l *Log) Close() error {
	if l == nil {
		return nil
	}
	close(l.stop)
	<-l.stopped
	err := l.flush()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.segments {
		err = errors.Join(err, s.file.Close())
	}
	l.segments = nil
	return err
}

// Note remembers an answer. The id must come from NewID.
func (l *Log) Note(id string, a Answer) {
	key, ok := parseID(id)
	if l == nil || !ok {
		return
	}
	items := encoded.Get().(*[]byte)
	defer encoded.Put(items)
	*items = appendItems((*items)[:0], a.Items) // before the lock, which all requests take
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.last()
	if s == nil {
		return
	}
	at := l.end()
	code, known := s.targets[target{a.Target, a.Group}]
	if !known {
		code = s.define(target{a.Target, a.Group})
		l.pending = appendTarget(l.pending, target{a.Target, a.Group})
		at = l.end()
	}
	l.pending = appendAnswer(l.pending, key, code, a.At, *items)
	s.add(key, at, a.Group, a.At, len(a.Items) > 0)
}

// encoded are buffers for the items of an answer.
var encoded = sync.Pool{New: func() any { return new([]byte) }}

// Impression remembers that items of a dataset group were shown, by an event whose row does not tell so.
func (l *Log) Impression(group string, items []string) {
	if l == nil || len(items) == 0 {
		return
	}
	now := l.options.Clock()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.last()
	if s == nil {
		return
	}
	l.pending = appendImpression(l.pending, group, now, items)
	s.saw(group, now, true)
}

// last is the segment that is being written, nil if nothing more can be remembered for now.
func (l *Log) last() *segment {
	if len(l.segments) == 0 || len(l.pending) > pendingBytes || l.options.Bytes == 0 || l.options.Age == 0 {
		return nil
	}
	return l.segments[len(l.segments)-1]
}

// end is where the next record will stand in the last segment.
func (l *Log) end() int64 {
	return l.segments[len(l.segments)-1].size + frameHeader + int64(len(l.pending))
}

// Find returns an answer, whose items may have been forgotten. ok is false if the log does not know it.
func (l *Log) Find(id string) (a Answer, ok bool) {
	key, valid := parseID(id)
	if l == nil || !valid {
		return Answer{}, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range slices.Backward(l.segments) {
		at, found := s.answers[short(key)]
		if !found {
			continue
		}
		b, err := l.record(s, at)
		if err != nil {
			return Answer{}, false
		}
		r := reader{b: b}
		kind, body := r.record()
		if a, ok = s.answer(kind, body, key); ok && l.options.Clock().Sub(a.At) <= l.options.Age {
			return a, true
		}
	}
	return Answer{}, false
}

// record returns the bytes from an offset of a segment on, at least one record.
func (l *Log) record(s *segment, at int64) ([]byte, error) {
	if at >= s.size {
		return l.pending[at-s.size-frameHeader:], nil
	}
	written := s.size
	if s == l.segments[len(l.segments)-1] {
		written -= int64(len(l.flushing))
	}
	if at >= written {
		return l.flushing[at-written:], nil
	}
	return s.read(at)
}

// Impressions yields the items of every Impression of a group, as often as they were shown.
func (l *Log) Impressions(group string, yield func(item string)) error {
	if l == nil {
		return nil
	}
	l.rewriting.Lock()
	defer l.rewriting.Unlock()
	if err := l.flush(); err != nil {
		return err
	}
	oldest := l.options.Clock().Add(-l.options.Age)
	l.mu.Lock()
	all := slices.Clone(l.segments)
	l.mu.Unlock()
	for _, s := range all {
		err := eachRecord(s.path, func(kind uint64, body reader) {
			if kind != impressionRecord || string(body.text()) != group {
				return
			}
			if at := body.time(); at.Before(oldest) {
				return
			}
			for n := body.uvarint(); n > 0 && !body.bad; n-- {
				if item := body.text(); !body.bad {
					yield(string(item))
				}
			}
		})
		if errors.Is(err, os.ErrNotExist) {
			continue // expired meanwhile
		}
		if err != nil {
			return fmt.Errorf("read the record of answers: %w", err)
		}
	}
	return nil
}

// Forget takes the items out of what was noted of a dataset group, and destroys the files that held them. What requests note meanwhile may stay.
func (l *Log) Forget(group string) error {
	if l == nil {
		return nil
	}
	l.rewriting.Lock()
	defer l.rewriting.Unlock()
	if err := l.rotate(); err != nil {
		return fmt.Errorf("forget answers: %w", err)
	}
	l.mu.Lock()
	sealed := slices.Clone(l.segments[:max(0, len(l.segments)-1)])
	l.mu.Unlock()
	for _, s := range sealed {
		if !s.shows[group] && !s.torn {
			continue
		}
		if err := l.replace(s, group); err != nil {
			return fmt.Errorf("forget answers: %w", err)
		}
	}
	return nil
}

// replace writes a segment anew without the items of a group. Nothing is flushed and nothing expires meanwhile.
func (l *Log) replace(old *segment, group string) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	closed, expired := len(l.segments) == 0, !slices.Contains(l.segments, old)
	l.mu.Unlock()
	switch {
	case closed:
		return errors.New("the record is closed")
	case expired:
		return nil
	}
	b, err := without(old.path, group)
	if err != nil {
		return err
	}
	// The new one takes the old one's name: a crash leaves one of them.
	held, err := os.OpenFile(old.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer held.Close()
	if err := blob.WriteFile(old.path, strings.NewReader(string(b))); err != nil {
		return err
	}
	s, err := readSegment(old.path)
	if err != nil {
		return err
	}
	l.mu.Lock()
	if at := slices.Index(l.segments, old); at >= 0 {
		l.segments[at] = s
		old.file.Close()
	} else { // the log is closed
		s.file.Close()
	}
	l.mu.Unlock()
	return wipe(held, 0)
}

// wipe overwrites a file from an offset on, for what it held is to be gone.
func wipe(f *os.File, from int64) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	zeros := make([]byte, 1<<20)
	for at := from; at < info.Size(); at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), info.Size()-at)], at); err != nil {
			return err
		}
	}
	return f.Sync()
}

// flushLoop writes what is pending, and forgets what is too old, until the log is closed.
func (l *Log) flushLoop() {
	defer close(l.stopped)
	tick, age := time.NewTicker(flushPeriod), time.NewTicker(seldomChecked)
	defer tick.Stop()
	defer age.Stop()
	for {
		var err error
		select {
		case <-l.stop:
			return
		case <-age.C:
			err = l.expire()
		case <-tick.C:
			err = l.flush()
		}
		l.report(err)
	}
}

// report logs the first of errors in a row.
func (l *Log) report(err error) {
	l.mu.Lock()
	first := err != nil && !l.failing
	l.failing = err != nil
	l.mu.Unlock()
	if first {
		l.options.Log.Warn("answers are not remembered for now", "error", err)
	}
}

// flush writes what is pending, and begins another segment if the last one is full.
func (l *Log) flush() error {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	if len(l.segments) == 0 || len(l.pending) == 0 {
		l.mu.Unlock()
		return nil
	}
	s := l.segments[len(l.segments)-1]
	at := s.size
	l.flushing, l.pending, l.spare = l.pending, l.spare, nil
	s.size += frameHeader + int64(len(l.flushing))
	full := s.weight() >= l.options.Bytes/segments
	l.mu.Unlock()
	err := writeFrame(s.file, l.flushing, at)
	l.mu.Lock()
	s.torn = err != nil
	if cap(l.flushing) <= spareBytes {
		l.spare = l.flushing[:0]
	}
	l.flushing = nil
	var gone []*segment
	if err != nil || full { // a frame that could not be written ends its segment: nothing behind it could be read again
		var turnErr error
		gone, turnErr = l.turn(err == nil)
		err = errors.Join(err, turnErr)
	}
	l.mu.Unlock()
	return errors.Join(err, destroy(gone))
}

// rotate ends the last segment, with what is pending in it.
func (l *Log) rotate() error {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	if len(l.segments) == 0 {
		l.mu.Unlock()
		return nil
	}
	gone, err := l.turn(true)
	l.mu.Unlock()
	return errors.Join(err, destroy(gone))
}

// turn ends the last segment and begins another. What is pending has its place in the old one, and is written there unless that has failed. The caller holds
// writing and mu, and destroys what is gone when it has let go of mu.
func (l *Log) turn(sound bool) (gone []*segment, err error) {
	if s := l.segments[len(l.segments)-1]; len(l.pending) > 0 {
		if sound {
			err = writeFrame(s.file, l.pending, s.size)
		}
		s.torn = s.torn || err != nil
		s.size += frameHeader + int64(len(l.pending))
		l.pending = l.pending[:0]
	}
	err = errors.Join(err, l.begin())
	return l.shrink(), err
}

// begin adds an empty segment. The caller holds mu, and nothing is pending.
func (l *Log) begin() error {
	s, err := createSegment(filepath.Join(l.dir, fmt.Sprintf("%016x%s", l.number, segmentSuffix)))
	if err != nil {
		return err
	}
	l.number++
	l.segments = append(l.segments, s)
	return nil
}

// expire forgets what is too old.
func (l *Log) expire() error {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	gone := l.shrink()
	l.mu.Unlock()
	return destroy(gone)
}

// shrink forgets the oldest segments, as far as all of them are too large or those too old. The last one stays. The caller holds mu, and writing until it has destroyed what is gone:
// Forget promises that nothing is left, and waits for that.
func (l *Log) shrink() (gone []*segment) {
	oldest := l.options.Clock().Add(-l.options.Age)
	total := int64(0)
	for _, s := range l.segments {
		total += s.weight()
	}
	for len(l.segments) > 1 {
		s := l.segments[0]
		if total <= l.options.Bytes && !s.newest.Before(oldest) {
			break
		}
		total -= s.weight()
		l.segments = slices.Delete(l.segments, 0, 1) // not by reslicing: what stands before a slice keeps its index in memory
		gone = append(gone, s)
	}
	return gone
}

// destroy overwrites and removes the files of segments that are forgotten. That takes as long as writing them did: nobody who holds mu calls it.
func destroy(gone []*segment) (err error) {
	for _, s := range gone {
		err = errors.Join(err, s.file.Close(), blob.Discard(s.path))
	}
	return err
}

func parseID(id string) (key uuid.UUID, ok bool) {
	text, ok := strings.CutPrefix(id, Prefix)
	if !ok || len(text) != 36 {
		return key, false
	}
	key, err := uuid.Parse(text)
	return key, err == nil
}

// short is what the index keeps of an id; the record has all of it.
func short(id uuid.UUID) uint64 { return binary.LittleEndian.Uint64(id[8:]) }
