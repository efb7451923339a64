package dataset

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"strings"

	"github.com/palate-dev/palate/internal/schema"
)

// bucketRead is a bucket of a training read.
type bucketRead struct {
	files []*dataFile
	mem   *block     // what is in memory, if anything is
	users []runUsers // of each run: the files, and what is in memory
	all   runUsers   // of the runs together, from when they are read until their places are handed on
	moved []movedEvent
}

// runUsers are the users of a run.
type runUsers struct {
	names  []string // ascending, until they have their places
	ends   []int32  // of each user's rows
	places []int32  // of the users in the result
}

// unite lists the users of all runs of a bucket, so that the whole table's have fewer lists to go through. A run's places are in this list for now.
func (in *bucketRead) unite() {
	if len(in.users) == 1 {
		in.all, in.users[0].names = in.users[0], nil
		return
	}
	longest := 0
	for k := range in.users {
		n := len(in.users[k].names)
		in.users[k].places = make([]int32, 0, n)
		longest = max(longest, n)
	}
	in.all = runUsers{names: make([]string, 0, longest), ends: make([]int32, 0, longest)}
	for end := int32(0); ; {
		name, found := "", false
		for k := range in.users {
			u := &in.users[k]
			if at := len(u.places); at < len(u.names) && (!found || u.names[at] < name) {
				name, found = u.names[at], true
			}
		}
		if !found {
			break
		}
		for k := range in.users {
			u := &in.users[k]
			if at := len(u.places); at < len(u.names) && u.names[at] == name {
				u.places = append(u.places, int32(len(in.all.names)))
				end += u.ends[at] - u.start(at)
			}
		}
		in.all.names, in.all.ends = append(in.all.names, name), append(in.all.ends, end)
	}
	for k := range in.users {
		in.users[k].names = nil
	}
}

// handOn gives the users of each run the places that those of the bucket have got.
func (in *bucketRead) handOn() {
	if len(in.users) == 1 {
		in.users[0].places = in.all.places
	} else {
		for k := range in.users {
			for i, at := range in.users[k].places {
				in.users[k].places[i] = in.all.places[at]
			}
		}
	}
	in.all = runUsers{}
}

// start is where the rows of the k-th user begin.
func (u *runUsers) start(k int) int32 {
	if k == 0 {
		return 0
	}
	return u.ends[k-1]
}

// add appends the users of a block of rows in order.
func (u *runUsers) add(key *vector, n int) error {
	start := int32(0)
	if k := len(u.ends); k > 0 {
		start = u.ends[k-1]
	}
	if key.absent {
		return errors.New("a data file without keys")
	}
	for from := 0; from < n; {
		code := key.code[from]
		if code == nullCode {
			return errors.New("a row without its key")
		}
		to := from + 1
		for to < n && key.code[to] == code {
			to++
		}
		if k := len(u.names); k > 0 && u.names[k-1] == key.dict[code] {
			u.ends[k-1] = start + int32(to)
		} else {
			u.names, u.ends = append(u.names, key.dict[code]), append(u.ends, start+int32(to))
		}
		from = to
	}
	return nil
}

// run is the events of one file, or those in memory, of one bucket: flat arrays in sort order. The blocks that they came from stay readable, for the
// comparisons that need the other columns.
type run struct {
	put     bool
	item    []int32 // code, -1 if null
	kind    []uint16
	time    []int64
	value   []float64 // NaN if null
	context [][]int32 // by column: code, -1 if null
	blocks  []*block
	starts  []int // of each block in the arrays
	last    int   // the block that was asked for last
}

// begin empties a run and makes room for rows.
func (x *run) begin(put bool, rows int) {
	clear(x.blocks)
	for k := range x.context {
		x.context[k] = emptied(x.context[k], rows)
	}
	*x = run{
		put: put, context: x.context, blocks: x.blocks[:0], starts: x.starts[:0],
		item: emptied(x.item, rows), kind: emptied(x.kind, rows), time: emptied(x.time, rows), value: emptied(x.value, rows),
	}
}

// row returns the row behind element i.
func (x *run) row(i int) (*block, int) {
	for i < x.starts[x.last] {
		x.last--
	}
	for x.last+1 < len(x.starts) && i >= x.starts[x.last+1] {
		x.last++
	}
	return x.blocks[x.last], i - x.starts[x.last]
}

// bucketReader reads buckets, one at a time. It keeps its memory for the next one.
type bucketReader struct {
	*training
	number uint16 // among the readers
	codes  *codes
	runs   []*run
	left   bool   // it has left out rows, so that not all it met need be in the result
	column vector // the one that is being read
	dict   []int32
}

// readUsers reads who is in a bucket.
func (r *bucketReader) readUsers(ctx context.Context, in *bucketRead) error {
	for _, f := range in.files {
		var u runUsers
		if err := r.readFile(ctx, f, func(file *fileReader, g int) error {
			r.column.text = nil // the names stay in it
			if err := file.readInto(&r.column, g, r.s.layout.key); err != nil {
				return err
			}
			return u.add(&r.column, int(file.meta.RowGroups[g].NumRows))
		}); err != nil {
			return err
		}
		in.users = append(in.users, u)
	}
	r.column.text = nil
	if in.mem != nil && in.mem.n > 0 {
		in.mem = in.mem.arranged(in.mem.sorted())
		var u runUsers
		if err := u.add(in.mem.col(r.s.layout.key), in.mem.n); err != nil {
			return err
		}
		in.users = append(in.users, u)
	}
	in.unite()
	return nil
}

// readFile calls f for each row group of a file.
func (r *bucketReader) readFile(ctx context.Context, f *dataFile, group func(file *fileReader, g int) error) (err error) {
	file, err := openFile(f.path, r.s.layout, f.source)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.close()) }()
	return eachGroup(ctx, file, group)
}

func eachGroup(ctx context.Context, file *fileReader, group func(file *fileReader, g int) error) error {
	for g := range file.groups() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := group(file, g); err != nil {
			return err
		}
	}
	return nil
}

// readEvents reads a bucket and merges its runs into the places of its users.
func (r *bucketReader) readEvents(ctx context.Context, in *bucketRead, a *assembly) (err error) {
	in.handOn()
	n := 0
	next := func(put bool, rows int) *run {
		if n == len(r.runs) {
			r.runs = append(r.runs, &run{context: make([][]int32, len(r.context))})
		}
		x := r.runs[n]
		x.begin(put, rows)
		n++
		return x
	}
	for _, f := range in.files {
		file, err := openFile(f.path, r.s.layout, f.source)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.close()) }()
		x := next(f.source == Put, int(f.rows))
		if err := eachGroup(ctx, file, func(file *fileReader, g int) error {
			return r.readBlock(x, file.group(g), func(c int) (*vector, error) { return &r.column, file.readInto(&r.column, g, c) })
		}); err != nil {
			return err
		}
	}
	if in.mem != nil && in.mem.n > 0 {
		if err := r.readBlock(next(true, in.mem.n), in.mem, func(c int) (*vector, error) { return in.mem.col(c), nil }); err != nil {
			return err
		}
	}
	m := &runMerge{training: r.training, reader: r, runs: r.runs[:n], in: in, hidden: r.s.hider(), out: a}
	err = m.merge()
	for _, x := range r.runs[:n] {
		x.begin(false, 0) // its blocks are not needed any more
	}
	return err
}

// readBlock appends the rows of a block. column reads one of its columns, which is valid until the next.
func (r *bucketReader) readBlock(x *run, b *block, column func(c int) (*vector, error)) error {
	x.blocks, x.starts = append(x.blocks, b), append(x.starts, len(x.item))
	v, err := column(r.item)
	if err != nil {
		return err
	}
	if v.absent {
		return errors.New("a data file without items")
	}
	r.dict = r.codes.items.all(r.dict[:0], v.dict)
	for _, c := range v.code[:b.n] {
		code := int32(-1)
		if c != nullCode {
			code = r.dict[c]
		}
		x.item = append(x.item, code)
	}
	if v, err = column(r.s.layout.time); err != nil {
		return err
	}
	if v.absent {
		x.time = append(x.time, make([]int64, b.n)...)
	} else {
		x.time = append(x.time, v.ints[:b.n]...) // 0 where there is none
	}
	if err := r.readKinds(x, b.n, column); err != nil {
		return err
	}
	for k := range r.context {
		if err := r.readContext(x, k, b.n, column); err != nil {
			return err
		}
	}
	return r.readValues(x, b.n, column)
}

func (r *bucketReader) readKinds(x *run, n int, column func(c int) (*vector, error)) error {
	kinds := r.codes.kinds
	none := uint16(kinds.code(""))
	v := &vector{absent: true}
	if r.kind >= 0 {
		var err error
		if v, err = column(r.kind); err != nil {
			return err
		}
	}
	if v.absent {
		r.codes.untyped = true
		for range n {
			x.kind = append(x.kind, none)
		}
		return nil
	}
	r.dict = kinds.all(r.dict[:0], v.dict)
	if len(kinds.list) > math.MaxUint16+1 {
		return errTypes
	}
	for _, c := range v.code[:n] {
		code := none
		if c != nullCode {
			code = uint16(r.dict[c])
		}
		r.codes.untyped = r.codes.untyped || code == none
		x.kind = append(x.kind, code)
	}
	return nil
}

// readContext reads the k-th context column. An empty string is none.
func (r *bucketReader) readContext(x *run, k, n int, column func(c int) (*vector, error)) error {
	v, err := column(r.context[k])
	if err != nil {
		return err
	}
	if v.absent {
		x.context[k] = append(x.context[k], slices.Repeat([]int32{-1}, n)...)
		return nil
	}
	if r.columns[k].Numeric {
		r.readNumbers(x, k, n, v)
		return nil
	}
	r.dict = r.codes.levels[k].all(r.dict[:0], v.dict)
	for _, c := range v.code[:n] {
		code := int32(-1)
		if c != nullCode && v.dict[c] != "" {
			code = r.dict[c]
		}
		x.context[k] = append(x.context[k], code)
	}
	return nil
}

// readNumbers reads the k-th context column from numbers.
func (r *bucketReader) readNumbers(x *run, k, n int, v *vector) {
	const mostKnown = 1 << 16 // numbers whose codes are remembered
	known := r.codes.numbers[k]
	for i := range n {
		if v.null != nil && v.null[i] {
			x.context[k] = append(x.context[k], -1)
			continue
		}
		number := 0.0
		if v.kind == schema.Int || v.kind == schema.Long {
			number = float64(v.ints[i])
		} else {
			number = v.floats[i]
		}
		code, ok := known[number]
		if !ok {
			code = -1
			if level := NumberLevel(number); level != "" {
				code = r.codes.levels[k].code(level)
			}
			if len(known) < mostKnown {
				known[number] = code
			}
		}
		x.context[k] = append(x.context[k], code)
	}
}

func (r *bucketReader) readValues(x *run, n int, column func(c int) (*vector, error)) error {
	v := &vector{absent: true}
	if r.value >= 0 {
		var err error
		if v, err = column(r.value); err != nil {
			return err
		}
	}
	if v.absent {
		for range n {
			x.value = append(x.value, math.NaN())
		}
		return nil
	}
	start := len(x.value)
	x.value = append(x.value, v.floats[:n]...)
	if v.null != nil {
		for i, null := range v.null[:n] {
			if null {
				x.value[start+i] = math.NaN()
			}
		}
	}
	return nil
}

// runMerge merges the runs of a bucket into the result: its effective view.
type runMerge struct {
	*training
	reader *bucketReader
	runs   []*run
	in     *bucketRead
	hidden *hider
	out    *assembly

	user    string
	masked  bool // some of the user's rows may be hidden
	at      int64
	current []cursorRange
	lastRun int // the event before, of the same user: its run, -1 if there is none ...
	last    int // ... and where
}

// cursorRange is the rest of one user's events in a run. Runs go by number: pointers would cost a write barrier for each user.
type cursorRange struct{ run, at, end int }

func (m *runMerge) merge() error {
	next := make([]int, len(m.runs)) // the next user of each run
	for {
		m.current = m.current[:0]
		place := int32(math.MaxInt32)
		for k := range m.runs {
			u := &m.in.users[k]
			if next[k] == len(u.places) || u.places[next[k]] > place {
				continue
			}
			if u.places[next[k]] < place {
				place, m.current = u.places[next[k]], m.current[:0]
			}
			m.current = append(m.current, cursorRange{k, int(u.start(next[k])), int(u.ends[next[k]])})
		}
		if len(m.current) == 0 {
			return m.firstError()
		}
		for _, c := range m.current {
			next[c.run]++
		}
		m.user, m.at = m.out.ev.Users[place], m.out.starts[place]
		m.mergeUser()
		m.out.counts[place], m.out.readers[place] = int32(m.at-m.out.starts[place]), m.reader.number
	}
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
		from, times, until := c.at, m.runs[c.run].time, m.runs[end.run].time[end.at]
		for c.at++; c.at < c.end; c.at++ {
			if t := times[c.at]; t > until || t == until && !m.less(*c, end) {
				break
			}
		}
		m.take(c.run, from, c.at)
		if c.at == c.end {
			m.current = slices.Delete(m.current, first, first+1)
		}
	}
	c := m.current[0]
	m.take(c.run, c.at, c.end)
}

// less is compareRows for two events of one user.
func (m *runMerge) less(a, b cursorRange) bool {
	x, y := m.runs[a.run], m.runs[b.run]
	if t, u := x.time[a.at], y.time[b.at]; t != u {
		return t < u
	}
	if c := m.compareRest(x, a.at, y, b.at); c != 0 {
		return c < 0
	}
	p, i := x.row(a.at)
	q, j := y.row(b.at)
	return p.seq(i) < q.seq(j)
}

// compareRest is compareRest for two elements of runs. It reads again only what the runs do not hold.
func (m *runMerge) compareRest(x *run, i int, y *run, j int) int {
	for _, col := range m.s.layout.order {
		c := 0
		switch col {
		case m.item:
			c = compareCodes(m.reader.codes.items, x.item[i], y.item[j])
		case m.value:
			c = cmp.Compare(x.value[i], y.value[j]) // nulls are NaN, and NaN comes first
		case m.kind:
			if c = compareCodes(m.reader.codes.kinds, int32(x.kind[i]), int32(y.kind[j])); c != 0 || m.reader.codes.kinds.list[x.kind[i]] != "" {
				break
			}
			fallthrough // no type, or an empty one
		default:
			p, k := x.row(i)
			q, l := y.row(j)
			c = p.col(col).compareAt(k, q.col(col), l)
		}
		if c != 0 {
			return c
		}
	}
	return 0
}

// compareCodes compares the strings of two codes; -1 is null, which comes first.
func compareCodes(n *names, a, b int32) int {
	if a == b || a < 0 || b < 0 {
		return cmp.Compare(a, b)
	}
	return strings.Compare(n.list[a], n.list[b])
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
			m.reader.left = true
			m.copy(x, start, i)
			start = i + 1
		}
	}
	m.copy(x, start, to)
}

// copy appends a stretch of one run to the user's events.
func (m *runMerge) copy(x *run, from, to int) {
	n := int64(to - from)
	if n == 0 {
		return
	}
	ev, at, end := m.out.ev, m.at, m.at+n
	m.at = end
	copy(ev.Item[at:end], x.item[from:to])
	copy(ev.Type[at:end], x.kind[from:to])
	copy(ev.Time[at:end], x.time[from:to])
	for k, column := range x.context {
		copy(ev.Context[k].Code[at:end], column[from:to])
	}
	values := ev.Value[at:end]
	for i, v := range x.value[from:to] {
		values[i] = float32(v)
	}
}

// leavesOut tells whether an event is hidden or repeats an eventId.
func (m *runMerge) leavesOut(x *run, i int) bool {
	b, k := x.row(i)
	return m.masked && m.hidden.hides(b, k) || x.put && len(m.repeated) > 0 && m.repeated[b.seq(k)]
}

// repeats tells whether an event equals the one before it in all fields.
func (m *runMerge) repeats(x *run, i int) bool {
	y, j := m.runs[m.lastRun], m.last
	return y.time[j] == x.time[i] && y.item[j] == x.item[i] && y.kind[j] == x.kind[i] && m.compareRest(y, j, x, i) == 0
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
	if !ok || b.seq(k) > m.joined {
		return false
	}
	codes := m.reader.codes
	var context []string
	for k, column := range x.context {
		level := ""
		if code := column[i]; code >= 0 {
			level = codes.levels[k].list[code]
		}
		context = append(context, level)
	}
	m.in.moved = append(m.in.moved, movedEvent{
		user: owner.user, item: codes.items.list[x.item[i]], kind: codes.kinds.list[x.kind[i]], from: m.user, time: x.time[i], value: float32(x.value[i]),
		context: context,
	})
	return true
}
