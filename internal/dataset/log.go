package dataset

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/metrics"
	"github.com/palate-dev/palate/internal/schema"
)

// The event log of a group is a sequence of append-only segments; FORMAT.md has the byte tables.
//
// One goroutine writes. It takes all requests that wait, gives them sequence numbers, writes them as one frame and syncs once: that is the group commit.
// Only the last frame of the last segment can be torn by a crash, and it was never acknowledged; a damaged frame with a frame after it, or in an older
// segment, means that acknowledged events are gone, and the store refuses to open.
type eventLog struct {
	g     *group
	dir   string
	queue chan *logRequest
	done  chan struct{}

	wanted atomic.Int32  // how many requests in the queue the writer waits for, 0 if it does not
	enough chan struct{} // tells it that they are there

	mu       sync.Mutex
	stopped  bool
	closed   []string  // names of full segments, oldest first
	waiting  int64     // bytes in all segments
	activeAt time.Time // when the active segment got its first frame, zero if it is empty; it is compared by monotonic time only

	// by the writer goroutine
	active *os.File
	size   int64
	buf    []byte
	last   int // how many requests the last batch had
}

const (
	segmentMagic  = "PALLOG01"
	segmentHeader = 20
	frameMagic    = 0x4d524650 // "PFRM"
	frameHeader   = 32
	batchBytes    = 4 << 20 // a frame stops growing here
	queueLength   = 1024    // requests that may wait

	gatherTime = time.Millisecond // for which a batch waits for as many requests as the one before it had
)

type requestKind uint8

const (
	putRecord   requestKind = 1
	fenceRecord requestKind = 2
	countRecord requestKind = 3 // what the rows before it add to the tally; no request of its own
	rotateLog   requestKind = 0 // not a record: close the active segment
)

// logRequest is what a caller hands to the writer. done is closed when err, seq and segments are set.
type logRequest struct {
	kind   requestKind
	table  *tableState
	body   []byte // encoded rows, without sequence numbers
	rows   int
	counts []Count // put: what the rows add to the tally
	done   chan struct{}

	text     string // body as it stands in the frame
	err      error
	seq      int64    // the last number given (put), the fence's own number (fence), the last number in closed segments (rotate)
	segments []string // rotate: all closed segments
}

func castagnoli(p []byte) uint32 { return crc32.Checksum(p, crc32.MakeTable(crc32.Castagnoli)) }

// openLog recovers the log of a group: rows that are not folded yet go into the tables' memory.
func openLog(g *group) (*eventLog, error) {
	l := &eventLog{g: g, dir: filepath.Join(g.dir, "log"), queue: make(chan *logRequest, queueLength), done: make(chan struct{}), enough: make(chan struct{}, 1)}
	if err := blob.Sweep(l.dir); err != nil {
		return nil, err
	}
	names, err := segmentNames(l.dir)
	if err != nil {
		return nil, err
	}
	var empty []string
	for i, name := range names {
		size, err := l.recover(name, i == len(names)-1)
		if err != nil {
			return nil, fmt.Errorf("event log: %w", err)
		}
		if size <= segmentHeader {
			empty = append(empty, name)
			continue
		}
		l.closed = append(l.closed, name)
		l.waiting += size - segmentHeader
	}
	if err := l.begin(); err != nil { // before the empty ones go: their headers may hold the highest number
		return nil, fmt.Errorf("event log: %w", err)
	}
	for _, name := range empty {
		if name != filepath.Base(l.active.Name()) {
			if err := blob.Discard(filepath.Join(l.dir, name)); err != nil {
				return nil, err
			}
		}
	}
	if err := l.checkRows(g.e.ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("event log: %w", err), l.active.Close())
	}
	go l.write()
	return l, nil
}

func segmentNames(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list log: %w", err)
	}
	for _, d := range entries {
		if !strings.HasSuffix(d.Name(), ".log") {
			return nil, fmt.Errorf("list log: %s is not a segment", d.Name())
		}
		names = append(names, d.Name())
	}
	slices.Sort(names) // fixed-width hexadecimal
	return names, nil
}

// begin makes a new active segment. Its header keeps the next sequence number, so that numbers never go back when older segments are destroyed.
func (l *eventLog) begin() (err error) {
	l.g.seqMu.Lock()
	base := l.g.next
	l.g.seqMu.Unlock()
	head := binary.LittleEndian.AppendUint64([]byte(segmentMagic), uint64(base))
	head = binary.LittleEndian.AppendUint32(head, castagnoli(head))
	path := filepath.Join(l.dir, fmt.Sprintf("%016x.log", base))
	defer func() {
		if err != nil && l.active != nil { // only the last segment may have a torn frame, and that goes on being the active one
			err = errors.Join(err, blob.Discard(path))
		}
	}()
	if err := blob.WriteFile(path, strings.NewReader(string(head))); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("open segment: %w", err)
	}
	l.active, l.size = f, segmentHeader
	return nil
}

// recover reads a segment and returns its valid size. A torn frame at the end of the last one is cut off.
func (l *eventLog) recover(name string, last bool) (size int64, err error) {
	path := filepath.Join(l.dir, name)
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	valid, err := l.scan(data, last)
	switch {
	case err != nil:
		return 0, fmt.Errorf("segment %s: %w", name, err)
	case valid < len(data):
		err = cutTail(path, int64(valid), int64(len(data)))
	case last: // what was read may stand in the page cache only, and no segment but the last may be torn
		err = writeAgain(path, data)
	}
	return int64(valid), err
}

// scan replays the frames of a segment and returns where the last one ends. Only the last segment may end in a torn frame.
func (l *eventLog) scan(data []byte, last bool) (valid int, err error) {
	if len(data) < segmentHeader || string(data[:8]) != segmentMagic || castagnoli(data[:16]) != binary.LittleEndian.Uint32(data[16:]) {
		return 0, errors.New("damaged header at offset 0") // written whole by WriteFile: never torn
	}
	l.sawSeq(int64(binary.LittleEndian.Uint64(data[8:])) - 1)
	at := segmentHeader
	for at < len(data) {
		f, err := parseFrame(data[at:])
		if err != nil && last && !laterFrame(data[at+1:]) {
			break
		}
		if err == nil {
			err = l.replay(f)
		}
		if err != nil {
			return 0, fmt.Errorf("damage at offset %d: %w", at, err)
		}
		at += frameHeader + len(f.payload)
	}
	return at, nil
}

// writeAgain makes what a file was read as durable. To sync it would not do: after a sync that failed the kernel takes the pages for written.
func writeAgain(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt(data, 0); err != nil {
		return err
	}
	return f.Sync()
}

// cutTail overwrites what a torn write has left, for it holds ids, and cuts the file. It writes nothing beyond the file's end: the disk may be full.
func cutTail(path string, from, to int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("cut torn frame: %w", err)
	}
	if _, err := f.WriteAt(make([]byte, max(0, min(to, info.Size())-from)), from); err != nil {
		return fmt.Errorf("cut torn frame: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("cut torn frame: %w", err)
	}
	if err := f.Truncate(from); err != nil {
		return fmt.Errorf("cut torn frame: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("cut torn frame: %w", err)
	}
	return nil
}

// frame is one group commit.
type frame struct {
	first, last int64
	payload     []byte
}

func parseFrame(b []byte) (f frame, err error) {
	if len(b) < frameHeader {
		return f, errors.New("short frame header")
	}
	if binary.LittleEndian.Uint32(b) != frameMagic || castagnoli(b[:28]) != binary.LittleEndian.Uint32(b[28:]) {
		return f, errors.New("damaged frame header")
	}
	n := int(binary.LittleEndian.Uint32(b[4:]))
	if n > len(b)-frameHeader {
		return f, errors.New("short frame")
	}
	f = frame{first: int64(binary.LittleEndian.Uint64(b[8:])), last: int64(binary.LittleEndian.Uint64(b[16:])), payload: b[frameHeader : frameHeader+n]}
	if castagnoli(f.payload) != binary.LittleEndian.Uint32(b[24:]) {
		return f, errors.New("frame checksum does not match")
	}
	return f, nil
}

// laterFrame tells whether a frame header stands anywhere in b. Frames are written one after the other, so the frame before it was complete once.
func laterFrame(b []byte) bool {
	for i := 0; i+frameHeader <= len(b); i++ {
		if binary.LittleEndian.Uint32(b[i:]) == frameMagic && castagnoli(b[i:i+28]) == binary.LittleEndian.Uint32(b[i+28:]) {
			return true
		}
	}
	return false
}

func (l *eventLog) sawSeq(seq int64) { l.g.next = max(l.g.next, seq+1) }

// replay puts the rows of a frame that are not in data files yet into the tables' memory, still encoded.
func (l *eventLog) replay(f frame) error {
	l.sawSeq(f.last)
	return eachRecord(f.payload, func(rec record) error {
		if rec.kind == countRecord && rec.put.first > l.g.tally.folded {
			l.g.tally.count(rec.counts)
		}
		t, ok := l.g.tables[rec.table]
		if rec.kind != putRecord || !ok || rec.put.first <= t.intProperty(foldedProperty) {
			return nil
		}
		t.mem.add(rec.put)
		return nil
	})
}

// checkRows decodes all rows in the tables' memory, on all processors: what does not decode must not be found out by the first reader. The live events
// among them come into the index on the way.
func (l *eventLog) checkRows(ctx context.Context) error {
	for _, t := range l.g.allTables() {
		pages, masks := t.mem.pages, l.g.activeMasks()
		if err := inParallel(ctx, len(pages), func(i int) error {
			hidden := &hider{masks: masks, none: len(masks) == 0}
			at, d, live := liveColumnsOf(t.layout), memReader{layout: t.layout}, l.g.liveOf(t.kind).inserter(t.id)
			defer live.close()
			return d.page(pages[i], func(r *memRow) error {
				if t.kind.IsLog() && !hidden.hidesRow(r.key(t.layout), r.seq, r.session) {
					live.insert(r.key(t.layout), at.of(r))
				}
				return nil
			})
		}); err != nil {
			return fmt.Errorf("rows of table %s: %w", t.id, err)
		}
	}
	return nil
}

// record is one request as it stands in a frame.
type record struct {
	kind   requestKind
	table  string
	put    memPut // of a putRecord; for others only first counts
	counts []Count
}

// eachRecord decodes a payload, whose bytes must not change afterwards. It does not look at the rows.
func eachRecord(payload []byte, yield func(record) error) error {
	all := textReader{s: unsafe.String(unsafe.SliceData(payload), len(payload))}
	for all.s != "" && all.err == nil {
		body := textReader{s: all.string()}
		rec := record{kind: requestKind(body.uvarint()), put: memPut{first: int64(body.uvarint())}}
		if rec.kind == putRecord {
			rec.put.text = body.s
			rec.table = body.string()
			body.columns()
			n := body.uvarint()
			if n > uint64(len(body.s)) { // a row is more than a byte
				body.fail()
			}
			rec.put.rows = int(n)
		}
		if rec.kind == countRecord {
			rec.counts = body.counts()
		}
		if body.err != nil {
			return body.err
		}
		if err := yield(rec); err != nil {
			return err
		}
	}
	return all.err
}

// columns decodes the Iceberg field ids and the kinds of a put's values.
func (r *textReader) columns() (ids []int, kinds []schema.Kind) {
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		ids = append(ids, int(r.uvarint()))
		kinds = append(kinds, schema.Kind(r.uvarint()))
	}
	return ids, kinds
}

// encodePut encodes rows for the log, all but the sequence number that stands before them. fields has the table's column of each value.
func encodePut(t string, l *layout, fields []int, rows []Row) ([]byte, error) {
	kinds, vals := l.kinds(), make([]schema.Value, len(l.cols))
	b := appendString(make([]byte, 0, encodedSize(t, l, rows)), t)
	b = binary.AppendUvarint(b, uint64(len(l.cols)))
	for _, c := range l.cols {
		b = binary.AppendUvarint(b, uint64(c.id))
		b = binary.AppendUvarint(b, uint64(c.kind))
	}
	b = binary.AppendUvarint(b, uint64(len(rows)))
	for i := range rows {
		r := &rows[i]
		if len(r.Values) != len(fields) {
			return nil, errors.New("a row does not have the fields of the schema")
		}
		for f, c := range fields {
			if c < 0 {
				return nil, errors.New("the table does not have all columns of the schema yet")
			}
			vals[c] = r.Values[f]
		}
		if !vals[l.key].Valid || l.time >= 0 && !vals[l.time].Valid {
			return nil, errors.New("a row lacks its key or its timestamp")
		}
		b = appendString(b, r.Session)
		b = appendString(b, r.EventID)
		b = appendValues(b, kinds, vals)
	}
	return b, nil
}

// encodedSize is at least what encodePut needs, so that it does not copy what it has.
func encodedSize(t string, l *layout, rows []Row) int {
	size := len(t) + 4*len(l.cols) + 32
	for i := range rows {
		r := &rows[i]
		size += len(r.Session) + len(r.EventID) + 20 + len(l.cols)/8
		for j := range r.Values {
			if v := &r.Values[j]; v.Valid {
				size += len(v.Str) + 10
			}
		}
	}
	return size
}

// submit hands a request to the writer and waits. try refuses at once if the queue is full.
func (l *eventLog) submit(ctx context.Context, r *logRequest, try bool) error {
	r.done = make(chan struct{})
	l.mu.Lock()
	if l.stopped {
		l.mu.Unlock()
		return errClosed
	}
	if try && l.waiting > l.g.e.limits.logBytes {
		l.mu.Unlock()
		metrics.PutBusy.Inc()
		return ErrBusy
	}
	l.mu.Unlock()
	if try {
		select {
		case l.queue <- r:
		default:
			metrics.PutBusy.Inc()
			return ErrBusy
		}
	} else {
		select {
		case l.queue <- r:
		case <-l.done:
			return errClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if wanted := l.wanted.Load(); wanted > 0 && len(l.queue) >= int(wanted) {
		select {
		case l.enough <- struct{}{}:
		default:
		}
	}
	// From here on the request may be carried out, so the answer is worth waiting for even if the caller's patience is not.
	select {
	case <-r.done:
		return r.err
	case <-l.done:
		select {
		case <-r.done:
			return r.err
		default:
			return errClosed
		}
	}
}

// close ends the writer after the requests it has begun.
func (l *eventLog) close() error {
	l.mu.Lock()
	first := !l.stopped
	l.stopped = true
	l.mu.Unlock()
	if first {
		l.queue <- nil
	}
	<-l.done
	return nil
}

// Waiting tells how many bytes of all logs wait to be folded into data files, and how many requests wait to be written to one.
func (e *Engine) Waiting() (bytes int64, requests int) {
	for _, g := range e.allGroups() {
		g.log.mu.Lock()
		bytes += g.log.waiting
		g.log.mu.Unlock()
		requests += len(g.log.queue)
	}
	return bytes, requests
}
