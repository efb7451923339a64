package dataset

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/twmb/murmur3"

	"github.com/palate-dev/palate/internal/schema"
)

// Rows yields every stored row, of all sources, also those that the effective view leaves out. Values are valid during the call only.
// Like all reads it sees one state of the table, and not what a running erasure hides.
func (e *Engine) Rows(ctx context.Context, t Table, yield func(Row) error) error {
	return e.read(ctx, t, selection{bulk: true, put: true}, yield)
}

// Effective yields what training, inference and filters work on: of items, users and actions the newest record of each key; of events the union of all
// sources without exact duplicates and without events whose eventId an earlier one has.
func (e *Engine) Effective(ctx context.Context, t Table, yield func(Row) error) error {
	sel := selection{bulk: true, put: true, newest: !t.Schema.Type.IsLog(), distinct: t.Schema.Type.IsLog(), unrepeated: t.Schema.Type.IsLog()}
	return e.read(ctx, t, sel, yield)
}

// BulkRows yields the rows of imports that began after a Fence, which returned after. Rows that have gone since are not among them.
func (e *Engine) BulkRows(ctx context.Context, t Table, after int64, yield func(Row) error) error {
	return e.read(ctx, t, selection{bulk: true, after: after}, yield)
}

func (e *Engine) read(ctx context.Context, t Table, sel selection, yield func(Row) error) error {
	state, err := e.find(t)
	if err != nil {
		return err
	}
	s := state.snapshot()
	defer s.release()
	fields := s.layout.fields(t.Schema)
	values := make([]schema.Value, len(fields))
	mem, err := s.mem.blocks(s.layout)
	if err != nil {
		return err
	}
	if sel.unrepeated {
		streamed, err := s.surveyStreamed(ctx, mem)
		if err != nil {
			return err
		}
		sel.repeated = streamed.ids.repeated()
	}
	for _, bucket := range s.buckets(mem) {
		if err := s.each(ctx, bucket, mem[bucket], sel, func(b *block, i int) error {
			return yield(b.row(i, fields, values))
		}); err != nil {
			return err
		}
	}
	return nil
}

// Count returns how many rows are stored.
func (e *Engine) Count(ctx context.Context, t Table) (n int64, err error) {
	state, err := e.find(t)
	if err != nil {
		return 0, err
	}
	state.mu.Lock()
	defer state.mu.Unlock()
	for _, f := range state.files {
		n += f.rows
	}
	return n + int64(state.mem.rows), nil
}

// Latest returns a sequence number that no row of the table exceeds and that grows with every row that comes in; 0 for an empty table.
func (e *Engine) Latest(ctx context.Context, t Table) (seq int64, err error) {
	state, err := e.find(t)
	if err != nil {
		return 0, err
	}
	state.mu.Lock()
	defer state.mu.Unlock()
	if len(state.files) > 0 {
		seq = state.intProperty(seqProperty)
	}
	return max(seq, state.mem.last()), nil
}

// selection says which rows of a snapshot a read wants. Rows that a running erasure hides are never among them.
type selection struct {
	bulk, put  bool
	after      int64          // only rows with a greater sequence number, if they are all wanted
	distinct   bool           // of rows equal in all fields only the oldest
	newest     bool           // of each key only the newest row
	unrepeated bool           // without events that repeat an eventId ...
	repeated   map[int64]bool // ... which are these, by sequence number
}

// buckets returns the numbers of the buckets that hold anything, in order.
func (s *snapshot) buckets(mem map[int]*block) (all []int) {
	for _, f := range s.files {
		all = append(all, f.bucket)
	}
	for b := range mem {
		all = append(all, b)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// bucketFiles returns the files of one bucket.
func (s *snapshot) bucketFiles(bucket int, bulk, put bool) (files []*dataFile) {
	for _, f := range s.files {
		if f.bucket == bucket && (f.source == Bulk && bulk || f.source == Put && put) {
			files = append(files, f)
		}
	}
	return files
}

// each yields the selected rows of one bucket in sort order.
func (s *snapshot) each(ctx context.Context, bucket int, mem *block, sel selection, yield func(b *block, i int) error) error {
	return s.eachRun(ctx, bucket, mem, sel, func(b *block, from, to int) error {
		for i := from; i < to; i++ {
			if err := yield(b, i); err != nil {
				return err
			}
		}
		return nil
	})
}

// eachRun is each for many rows at once: from to to-1 of a block.
func (s *snapshot) eachRun(ctx context.Context, bucket int, mem *block, sel selection, yield func(b *block, from, to int) error) error {
	if !sel.put {
		mem = nil
	}
	files := s.bucketFiles(bucket, sel.bulk, sel.put)
	f := &filter{sel: sel, hidden: s.hider(), yield: yield}
	if !sel.newest {
		return mergeRuns(ctx, s.layout, files, mem, f.rows, func() error { return nil })
	}
	return mergeRuns(ctx, s.layout, files, mem, f.newest, func() error {
		if f.last == nil {
			return nil
		}
		if err := yield(f.last, f.at, f.at+1); err != nil {
			return err
		}
		return f.last.err
	})
}

// filter passes the rows of a merge on that a selection wants.
type filter struct {
	sel    selection
	hidden *hider
	yield  func(b *block, from, to int) error
	last   *block // the row before (distinct), or the newest row of the current key (newest)
	at     int
}

func (f *filter) drops(b *block, i int) bool {
	return f.sel.after > 0 && b.seq(i) <= f.sel.after || f.hidden.hides(b, i) || b.source == Put && len(f.sel.repeated) > 0 && f.sel.repeated[b.seq(i)]
}

// rows yields all rows, or those that differ from the row before.
func (f *filter) rows(b *block, from, to int) error {
	looks := f.sel.after > 0 || !f.hidden.none || b.source == Put && len(f.sel.repeated) > 0
	if !looks && !f.sel.distinct {
		if err := f.yield(b, from, to); err != nil {
			return err
		}
		return b.err
	}
	var times []int64
	if t := b.layout.time; t >= 0 && !b.col(t).absent {
		times = b.col(t).ints
	}
	start := from // what has passed and is not yielded yet
	for i := from; i < to; i++ {
		gone := looks && f.drops(b, i)
		if !gone && f.sel.distinct {
			if f.last == b && f.at == i-1 && times != nil && times[i] != times[i-1] {
				f.at = i
				continue
			}
			gone = f.last != nil && sameRow(f.last, f.at, b, i)
			if !gone {
				f.last, f.at = b, i
			}
		}
		if gone {
			if start < i {
				if err := f.yield(b, start, i); err != nil {
					return err
				}
			}
			start = i + 1
		}
	}
	if start < to {
		if err := f.yield(b, start, to); err != nil {
			return err
		}
	}
	return b.err
}

// newest yields the newest row of each key but the last.
func (f *filter) newest(b *block, from, to int) error {
	for i := from; i < to; i++ {
		if f.drops(b, i) {
			continue
		}
		same := f.last != nil && sameKey(f.last, f.at, b, i)
		if same && f.last.seq(f.at) > b.seq(i) {
			continue
		}
		out, at := f.last, f.at
		f.last, f.at = b, i
		if same || out == nil {
			continue
		}
		if err := f.yield(out, at, at+1); err != nil {
			return err
		}
	}
	return b.err
}

func sameKey(a *block, i int, b *block, j int) bool {
	key := a.layout.key
	return a.col(key).compareAt(i, b.col(key), j) == 0
}

// hider tells which rows a running erasure hides.
type hider struct {
	masks []*mask
	none  bool
	last  string // the key that the answer below is for
	cut   int64  // rows of last up to here are hidden
	alone int64  // and anonymous rows of last up to here
}

func (s *snapshot) hider() *hider {
	return &hider{masks: s.masks, none: len(s.masks) == 0 || !s.layout.kind.HoldsUsers()}
}

func (h *hider) hides(b *block, i int) bool {
	if h.none || !h.concerns(b.key(i)) {
		return false
	}
	return b.seq(i) <= h.cut || b.seq(i) <= h.alone && b.session(i) == h.last
}

// hidesRow is hides for a row that is in no block.
func (h *hider) hidesRow(key string, seq int64, session string) bool {
	return h.concerns(key) && (seq <= h.cut || seq <= h.alone && session == h.last)
}

// concerns tells whether any rows of a key may be hidden.
func (h *hider) concerns(key string) bool {
	if h.none {
		return false
	}
	if key != h.last || h.last == "" {
		h.last, h.cut, h.alone = key, 0, 0
		for _, m := range h.masks {
			if m.users.Has(key) {
				h.cut = max(h.cut, m.cut)
			}
			if m.sessions.Has(key) {
				h.alone = max(h.alone, m.cut)
			}
		}
	}
	return h.cut != 0 || h.alone != 0
}

// eachPutBlock yields the streamed rows of a snapshot, also those that are hidden, in blocks, on several cores at once and in no particular order. As with eachBlock,
// a block is valid during the call only.
func (s *snapshot) eachPutBlock(ctx context.Context, mem map[int]*block, yield func(b *block) error) error {
	var files []*dataFile
	for _, f := range s.files {
		if f.source == Put {
			files = append(files, f)
		}
	}
	if err := inParallel(ctx, len(files), func(i int) error {
		return eachBlock(files[i], s.layout, func(b *block) error {
			return errors.Join(yield(b), ctx.Err())
		})
	}); err != nil {
		return err
	}
	for _, b := range mem {
		if err := yield(b); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// blockMemories hold the columns of blocks that nobody looks at any more.
var blockMemories = sync.Pool{New: func() any { return new(blockMemory) }}

type blockMemory struct {
	columns []*vector
	used    int
}

// next returns a column, which may hold anything.
func (m *blockMemory) next() *vector {
	if m.used == len(m.columns) {
		m.columns = append(m.columns, new(vector))
	}
	m.used++
	return m.columns[m.used-1]
}

// eachBlock yields the row groups of a file. A block, with the strings in it, is valid during the call only.
func eachBlock(f *dataFile, l *layout, yield func(b *block) error) (err error) {
	r, err := openFile(f.path, l, f.source)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	memory := blockMemories.Get().(*blockMemory)
	defer blockMemories.Put(memory)
	for g := range r.groups() {
		memory.used = 0
		b := r.group(g)
		b.load = func(_ *block, c int) (*vector, error) {
			v := memory.next()
			return v, r.readInto(v, g, c)
		}
		if err := yield(b); err != nil {
			return err
		}
	}
	return nil
}

// eventCollector finds repeated eventIds. Ids are compared by a 128-bit hash.
type eventCollector struct {
	seen [][]seenEvent // by block
	n    int
}

type seenEvent struct {
	hash [2]uint64
	seq  int64
}

func seeEvent(seen []seenEvent, b *block, i int) []seenEvent {
	if id := b.eventID(i); id != "" {
		h1, h2 := murmur3.StringSum128(id)
		seen = append(seen, seenEvent{hash: [2]uint64{h1, h2}, seq: b.seq(i)})
	}
	return seen
}

func (c *eventCollector) add(seen []seenEvent) {
	if len(seen) > 0 {
		c.seen = append(c.seen, seen)
		c.n += len(seen)
	}
}

// repeated returns the sequence numbers of the events whose eventId an earlier event has. Nearly all ids are unique: a bit for each that is met, and another for
// each that is met again, leave few to sort.
func (c *eventCollector) repeated() map[int64]bool {
	const bitsEach = 16
	mask := uint64(64)
	for mask < bitsEach*uint64(c.n) {
		mask *= 2
	}
	once, again := make([]uint64, mask/64), make([]uint64, mask/64)
	mask--
	for _, seen := range c.seen {
		for _, e := range seen {
			at, bit := (e.hash[0]&mask)/64, uint64(1)<<(e.hash[0]%64)
			again[at] |= once[at] & bit
			once[at] |= bit
		}
	}
	var suspects []seenEvent
	for _, seen := range c.seen {
		for _, e := range seen {
			if again[(e.hash[0]&mask)/64]>>(e.hash[0]%64)&1 != 0 {
				suspects = append(suspects, e)
			}
		}
	}
	slices.SortFunc(suspects, func(a, b seenEvent) int {
		return cmp.Or(slices.Compare(a.hash[:], b.hash[:]), cmp.Compare(a.seq, b.seq))
	})
	out := make(map[int64]bool)
	for i := 1; i < len(suspects); i++ {
		if suspects[i].hash == suspects[i-1].hash {
			out[suspects[i].seq] = true
		}
	}
	return out
}
