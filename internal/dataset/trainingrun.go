package dataset

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"strings"
)

// run is the events of one file, or those in memory, of one bucket: flat arrays in sort order. The blocks that they came from stay readable, for the
// comparisons that need the other columns.
type run struct {
	put    bool
	users  []string // ascending
	ends   []int    // of each user's events
	item   []int32  // code, -1 if null
	kind   []uint16
	time   []int64
	value  []float32
	blocks []*block
	starts []int   // of each block in the arrays
	order  []int32 // rows in memory: their sorted order
	last   int     // the block that was asked for last
}

// begin empties a run and makes room for rows.
func (x *run) begin(put bool, rows int) {
	clear(x.users) // the texts that they lie in
	*x = run{
		put: put, users: x.users[:0], ends: x.ends[:0],
		item: emptied(x.item, rows), kind: emptied(x.kind, rows), time: emptied(x.time, rows), value: emptied(x.value, rows),
	}
}

// emptied returns an empty slice with room for n elements, in the memory of s if that is large enough.
func emptied[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, 0, n)
	}
	return s[:0]
}

// row returns the row behind element i.
func (x *run) row(i int) (*block, int) {
	if x.order != nil {
		return x.blocks[0], int(x.order[i])
	}
	for i < x.starts[x.last] {
		x.last--
	}
	for x.last+1 < len(x.starts) && i >= x.starts[x.last+1] {
		x.last++
	}
	return x.blocks[x.last], i - x.starts[x.last]
}

// start is where the events of the k-th user begin.
func (x *run) start(k int) int {
	if k == 0 {
		return 0
	}
	return x.ends[k-1]
}

// bucketReader reads buckets, one at a time. It keeps its memory for the next one.
type bucketReader struct {
	*training
	codes *codes
	runs  []*run
}

// readFile appends the row groups of a file.
func (r *bucketReader) readFile(ctx context.Context, f *fileReader, x *run) error {
	for g := range f.groups() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.readBlock(f.group(g), x); err != nil {
			return err
		}
	}
	return nil
}

// readBlock appends the rows of a block, in x.order if that is set.
func (r *bucketReader) readBlock(b *block, x *run) error {
	key, item := b.col(r.s.layout.key), b.col(r.item)
	start := len(x.item)
	x.blocks, x.starts = append(x.blocks, b), append(x.starts, start)
	at := func(k int) int { return k }
	if x.order != nil {
		at = func(k int) int { return int(x.order[k]) }
	}

	if item.absent || key.absent {
		return cmp.Or(b.err, errors.New("a data file without keys or items"))
	}
	codes := r.codes.items.all(item.dict)
	for k := range b.n {
		code := int32(-1)
		if c := item.code[at(k)]; c != nullCode {
			code = codes[c]
		}
		x.item = append(x.item, code)
	}
	if err := r.readKinds(b, x, at); err != nil {
		return err
	}
	if t := r.s.layout.time; x.order == nil && b.col(t).null == nil && !b.col(t).absent {
		x.time = append(x.time, b.col(t).ints...)
	} else {
		for k := range b.n {
			x.time = append(x.time, b.timeOf(at(k)))
		}
	}
	r.readValues(b, x, at)

	for k := 0; k < b.n; {
		code := key.code[at(k)]
		if code == nullCode {
			return errors.New("a row without its key")
		}
		end := k + 1
		for end < b.n && key.code[at(end)] == code {
			end++
		}
		if n := len(x.users); n > 0 && x.users[n-1] == key.dict[code] {
			x.ends[n-1] = start + end
		} else {
			x.users, x.ends = append(x.users, key.dict[code]), append(x.ends, start+end)
		}
		k = end
	}
	return b.err
}

func (r *bucketReader) readKinds(b *block, x *run, at func(int) int) error {
	kinds := r.codes.kinds
	none := kinds.code("")
	var v *vector
	if r.kind >= 0 {
		v = b.col(r.kind)
	}
	if v == nil || v.absent {
		for range b.n {
			x.kind = append(x.kind, uint16(none))
		}
		return nil
	}
	codes := kinds.all(v.dict)
	if len(kinds.list) > math.MaxUint16+1 {
		return errTypes
	}
	for k := range b.n {
		code := none
		if c := v.code[at(k)]; c != nullCode {
			code = codes[c]
		}
		x.kind = append(x.kind, uint16(code))
	}
	return nil
}

func (r *bucketReader) readValues(b *block, x *run, at func(int) int) {
	var v *vector
	if r.value >= 0 {
		v = b.col(r.value)
	}
	if v == nil || v.absent {
		for range b.n {
			x.value = append(x.value, noValue)
		}
		return
	}
	for k := range b.n {
		value := noValue
		if i := at(k); v.null == nil || !v.null[i] {
			value = float32(v.floats[i])
		}
		x.value = append(x.value, value)
	}
}

// read merges the runs of a bucket.
func (r *bucketReader) read(ctx context.Context, bucket int, mem *block) (_ *part, err error) {
	files := r.s.bucketFiles(bucket, true, true)
	n := 0
	next := func(put bool, rows int) *run {
		if n == len(r.runs) {
			r.runs = append(r.runs, new(run))
		}
		x := r.runs[n]
		x.begin(put, rows)
		n++
		return x
	}
	for _, f := range files {
		file, err := openFile(f.path, r.s.layout, f.source)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, file.close()) }()
		if err := r.readFile(ctx, file, next(f.source == Put, int(f.rows))); err != nil {
			return nil, err
		}
	}
	if mem != nil && mem.n > 0 {
		x := next(true, mem.n)
		x.order = mem.sorted()
		if err := r.readBlock(mem, x); err != nil {
			return nil, err
		}
	}
	m := &runMerge{training: r.training, runs: r.runs[:n], hidden: r.s.hider(), codes: r.codes}
	out, err := m.merge()
	if n == 1 { // its arrays became the part
		x := r.runs[0]
		x.item, x.kind, x.time, x.value = nil, nil, nil, nil
	}
	for _, x := range r.runs[:n] {
		x.begin(false, 0) // its blocks are not needed any more
	}
	return out, err
}

// runMerge merges runs into a part: the effective view of one bucket.
type runMerge struct {
	*training
	runs   []*run
	hidden *hider
	codes  *codes
	out    *part

	user    string
	masked  bool // some of the user's rows may be hidden
	current []cursorRange
	lastRun int // the event before, of the same user: its run, -1 if there is none ...
	last    int // ... and where
}

// cursorRange is the rest of one user's events in a run. Runs go by number: pointers would cost a write barrier for each user.
type cursorRange struct{ run, at, end int }

func (m *runMerge) merge() (*part, error) {
	m.out = &part{codes: m.codes}
	next := make([]int, len(m.runs)) // the next user of each run
	if len(m.runs) == 1 {            // in place: nothing is written before it was read
		x := m.runs[0]
		m.out.item, m.out.kind, m.out.time, m.out.value = x.item[:0], x.kind[:0], x.time[:0], x.value[:0]
		m.out.users, m.out.ends = make([]string, 0, len(x.users)), make([]int, 0, len(x.users))
	} else {
		rows, users := 0, 0
		for _, x := range m.runs {
			rows += len(x.item)
			users = max(users, len(x.users))
		}
		m.out.item, m.out.kind = make([]int32, 0, rows), make([]uint16, 0, rows)
		m.out.time, m.out.value = make([]int64, 0, rows), make([]float32, 0, rows)
		m.out.users, m.out.ends = make([]string, 0, users), make([]int, 0, users)
	}
	for {
		m.current = m.current[:0]
		user := ""
		for k, x := range m.runs {
			if next[k] == len(x.users) {
				continue
			}
			if len(m.current) > 0 {
				switch c := strings.Compare(x.users[next[k]], user); {
				case c > 0:
					continue
				case c < 0:
					m.current = m.current[:0]
				}
			}
			user = x.users[next[k]]
			m.current = append(m.current, cursorRange{k, x.start(next[k]), x.ends[next[k]]})
		}
		if len(m.current) == 0 {
			break
		}
		for _, c := range m.current {
			next[c.run]++
		}
		m.user = user
		m.mergeUser()
	}
	return m.out, m.firstError()
}

// firstError is what went wrong where a comparison loaded another column.
func (m *runMerge) firstError() error {
	for _, x := range m.runs {
		for _, b := range x.blocks {
			if b.err != nil {
				return b.err
			}
		}
	}
	return nil
}

func (m *runMerge) mergeUser() {
	before := len(m.out.item)
	m.lastRun = -1
	m.masked = m.hidden.concerns(m.user)
	for len(m.current) > 1 {
		first, second := 0, -1
		for k := 1; k < len(m.current); k++ {
			switch {
			case m.less(m.current[k], m.current[first]):
				first, second = k, first
			case second < 0 || m.less(m.current[k], m.current[second]):
				second = k
			}
		}
		c, end := &m.current[first], m.current[second]
		from := c.at
		for c.at++; c.at < c.end && m.less(*c, end); {
			c.at++
		}
		m.take(c.run, from, c.at)
		if c.at == c.end {
			m.current = slices.Delete(m.current, first, first+1)
		}
	}
	c := m.current[0]
	m.take(c.run, c.at, c.end)
	if len(m.out.item) > before {
		m.out.users = append(m.out.users, m.user)
		m.out.ends = append(m.out.ends, len(m.out.item))
	}
}

// less is compareRows for two events of one user.
func (m *runMerge) less(a, b cursorRange) bool {
	x, y := m.runs[a.run], m.runs[b.run]
	if t, u := x.time[a.at], y.time[b.at]; t != u {
		return t < u
	}
	p, i := x.row(a.at)
	q, j := y.row(b.at)
	return compareRows(p, i, q, j) < 0
}

// take appends a stretch of one run, without what the effective view leaves out.
func (m *runMerge) take(k, from, to int) {
	x := m.runs[k]
	looks := m.masked || x.put && (len(m.repeated) > 0 || len(m.signedIn) > 0 || len(m.unseen) > 0)
	start := from // what has passed and is not copied yet
	for i := from; i < to; i++ {
		gone := looks && m.leavesOut(x, i) || m.lastRun >= 0 && m.repeats(x, i)
		if !gone {
			m.lastRun, m.last = k, i
			gone = x.item[i] < 0 || looks && m.moves(x, i)
		}
		if gone {
			m.out.copy(x, start, i)
			start = i + 1
		}
	}
	m.out.copy(x, start, to)
}

func (p *part) copy(x *run, from, to int) {
	p.item, p.kind = append(p.item, x.item[from:to]...), append(p.kind, x.kind[from:to]...)
	p.time, p.value = append(p.time, x.time[from:to]...), append(p.value, x.value[from:to]...)
}

// leavesOut tells whether an event is hidden or repeats an eventId.
func (m *runMerge) leavesOut(x *run, i int) bool {
	b, k := x.row(i)
	return m.masked && m.hidden.hides(b, k) || x.put && len(m.repeated) > 0 && m.repeated[b.seq(k)]
}

// repeats tells whether an event equals the one before it in all fields.
func (m *runMerge) repeats(x *run, i int) bool {
	y, j := m.runs[m.lastRun], m.last
	if y.time[j] != x.time[i] || y.item[j] != x.item[i] || y.kind[j] != x.kind[i] {
		return false
	}
	a, k := y.row(j)
	b, l := x.row(i)
	return sameRow(a, k, b, l)
}

// moves keeps an anonymous event for the user who signed in with its session, or drops it if that user is hidden.
func (m *runMerge) moves(x *run, i int) bool {
	if !x.put {
		return false
	}
	b, k := x.row(i)
	if b.session(k) != m.user {
		return false
	}
	if b.seq(k) <= m.unseen[m.user] {
		return true
	}
	owner, ok := m.signedIn[m.user]
	if !ok {
		return false
	}
	m.out.moved = append(m.out.moved, movedEvent{
		user: owner.user, item: m.codes.items.list[x.item[i]], kind: m.codes.kinds.list[x.kind[i]], from: strings.Clone(m.user), time: x.time[i], value: x.value[i],
	})
	return true
}
