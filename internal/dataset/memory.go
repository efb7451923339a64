package dataset

import (
	"slices"
	"strings"

	"github.com/palate-dev/palate/internal/pace"
	"github.com/palate-dev/palate/internal/schema"
)

// memory holds the streamed rows of a table that are in the log and not yet in a data file, as they stand in the log: encoded, one text for each put. A row that
// waits costs its bytes and little else, a start decodes nothing that nobody asks for, and the garbage collector has one pointer to follow for each put
// instead of one for each cell, which is what keeps answers quick beside a long log.
//
// Puts come at the end and leave from the front, in pages, so that no growth ever copies what is there. What clone returns does not change.
type memory struct {
	pages [][]memPut // none is empty, and only the last has room
	rows  int
}

// memPut is the rows of one put, which have the numbers first, first+1, and so on.
type memPut struct {
	first int64
	rows  int
	text  string // the put's record from its table's name on: FORMAT.md
}

const memPagePuts = 512

func (p *memPut) last() int64 { return p.first + int64(p.rows) - 1 }

// add appends a put, whose numbers are above all others.
func (m *memory) add(p memPut) {
	if n := len(m.pages); n == 0 || len(m.pages[n-1]) == memPagePuts {
		m.pages = append(m.pages, make([]memPut, 0, memPagePuts))
	}
	end := &m.pages[len(m.pages)-1]
	*end = append(*end, p)
	m.rows += p.rows
}

// clone returns what is there now. It shares the pages, to which add may go on appending.
func (m *memory) clone() memory {
	return memory{pages: slices.Clone(m.pages), rows: m.rows}
}

// last returns the highest number, 0 if there are no rows.
func (m *memory) last() int64 {
	if len(m.pages) == 0 {
		return 0
	}
	end := m.pages[len(m.pages)-1]
	return end[len(end)-1].last()
}

// split parts the puts up to a number from those after it. No put stands on both sides: a fold ends between two frames.
func (m *memory) split(upto int64) (before, after memory) {
	for _, page := range m.pages {
		switch {
		case page[len(page)-1].last() <= upto:
			before.take(page)
		case page[0].first > upto:
			after.take(page)
		default:
			for _, p := range page { // copied, because a page keeps all its texts alive
				if p.last() <= upto {
					before.add(p)
				} else {
					after.add(p)
				}
			}
		}
	}
	return before, after
}

// take appends a whole page. The page before it is full from now on.
func (m *memory) take(page []memPut) {
	if n := len(m.pages); n > 0 {
		m.pages[n-1] = m.pages[n-1][:len(m.pages[n-1]):len(m.pages[n-1])]
	}
	m.pages = append(m.pages, page)
	for i := range page {
		m.rows += page[i].rows
	}
}

// each decodes the rows, in order, as rows of a layout.
func (m *memory) each(l *layout, yield func(*memRow) error) error {
	d := memReader{layout: l}
	for _, page := range m.pages {
		if err := d.page(page, yield); err != nil {
			return err
		}
	}
	return nil
}

// blocks puts the rows into one block for each bucket.
func (m *memory) blocks(l *layout) (map[int]*block, error) {
	builders := make(map[int]*builder)
	err := m.each(l, func(r *memRow) error {
		bucket := l.bucketOf(r.key(l))
		w := builders[bucket]
		if w == nil {
			w = newBuilder(l, Put)
			w.shared = true
			builders[bucket] = w
		}
		w.add(r.vals, r.seq, r.session, r.eventID)
		return nil
	})
	blocks := make(map[int]*block, len(builders))
	for bucket, w := range builders {
		blocks[bucket] = w.b
	}
	return blocks, err
}

// memRow is a decoded row of a memory. It is valid until the next one is decoded; its strings stay, and keep the text of their put alive.
type memRow struct {
	vals    []schema.Value // by column of the layout
	seq     int64
	session string
	eventID string
}

func (r *memRow) key(l *layout) string { return r.vals[l.key].Str }

// memReader decodes puts for a layout, which may have other columns than the table had when the put came.
type memReader struct {
	layout *layout
	row    memRow

	head  string // the columns of the last put as they are encoded: most puts have the same
	kinds []schema.Kind
	at    []int          // their columns of the layout, or -1
	vals  []schema.Value // by column of the put
}

func (d *memReader) page(page []memPut, yield func(*memRow) error) error {
	for i, rows := 0, 0; i < len(page); i++ {
		if err := d.put(&page[i], yield); err != nil {
			return err
		}
		if rows += page[i].rows; rows >= 128 {
			rows = 0
			pace.Process.Yield()
		}
	}
	return nil
}

func (d *memReader) put(p *memPut, yield func(*memRow) error) error {
	r := textReader{s: p.text}
	r.string() // the table
	d.columns(&r)
	count := r.uvarint()
	for i := uint64(0); i < count && r.err == nil; i++ {
		d.row.seq, d.row.session, d.row.eventID = p.first+int64(i), r.string(), r.string()
		r.values(d.kinds, d.vals)
		if r.err != nil {
			break
		}
		for j, c := range d.at {
			if c >= 0 {
				d.row.vals[c] = d.vals[j]
			}
		}
		if err := yield(&d.row); err != nil {
			return err
		}
	}
	return r.err
}

// columns reads which columns a put has.
func (d *memReader) columns(r *textReader) {
	if d.head != "" && strings.HasPrefix(r.s, d.head) { // numbers end themselves, so what begins alike is alike
		r.s = r.s[len(d.head):]
		return
	}
	text := r.s
	ids, kinds := r.columns()
	if r.err != nil {
		return
	}
	d.head, d.kinds = text[:len(text)-len(r.s)], kinds
	d.at, d.vals = make([]int, len(ids)), make([]schema.Value, len(ids))
	for i, id := range ids {
		d.at[i] = slices.IndexFunc(d.layout.cols, func(c columnInfo) bool { return c.id == id })
	}
	d.row.vals = make([]schema.Value, len(d.layout.cols))
}
