package filter

import (
	"strings"
	"sync"

	"github.com/palate-dev/palate/internal/schema"
)

// Columns hold the records of candidates that have codes 0 to n-1, column by column, for filters that ask about many of them (Selection.On). They hold only
// the fields that somebody reads. They are safe for concurrent use.
//
// What a rule holds of is remembered as a bit set over the codes, if the rule has come before with the same operands: bit sets of single tests, combined
// word by word. A record that changes corrects its bit in each of them. So asking costs a look at a bit, however large the catalogue is.
type Columns struct {
	n      int
	fields []*column // by field of the schema; nil for those that are not held

	mu   sync.RWMutex // guards the records, and the bits of sets
	sets setCache

	spare sync.Pool // of *bitset: memory of requests that have ended
}

// column holds one field of all candidates. A text is held once, as most fields have few.
type column struct {
	kind    schema.Kind
	text    []int32 // of a string: index of texts, or -1 for null
	texts   []string
	code    map[string]int32 // of each text
	number  []float64
	rest    []int16 // of quantities whose float is not all; nil if none is such
	valid   []bool
	numeric bool
}

// NewColumns returns the columns of n candidates, all without records yet. records is the schema of their records, as Bind has it, and only the fields for which
// held is true are kept.
func NewColumns(records *schema.Schema, held func(name string) bool, n int) *Columns {
	c := &Columns{n: n, fields: make([]*column, len(records.Fields))}
	for i, f := range records.Fields {
		if !held(f.Name) || f.Kind == schema.Boolean {
			continue
		}
		if f.Kind.Numeric() {
			c.fields[i] = &column{kind: f.Kind, numeric: true, number: make([]float64, n), valid: make([]bool, n)}
			continue
		}
		text := make([]int32, n)
		for k := range text {
			text[k] = -1
		}
		c.fields[i] = &column{kind: f.Kind, text: text, code: map[string]int32{}}
	}
	return c
}

// Set makes r, nil for none, the record of a candidate.
func (c *Columns) Set(code int32, r Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, f := range c.fields {
		if f != nil {
			f.set(code, r.field(i))
		}
	}
	c.sets.correct(code)
}

func (x *column) set(code int32, v schema.Value) {
	switch {
	case x.numeric:
		q := quantity{}
		if v.Valid {
			q = number(x.kind, v)
		}
		x.valid[code], x.number[code] = v.Valid, q.near
		if x.rest == nil && q.rest != 0 {
			x.rest = make([]int16, len(x.number))
		}
		if x.rest != nil {
			x.rest[code] = q.rest
		}
	case !v.Valid:
		x.text[code] = -1
	default:
		at, ok := x.code[v.Str]
		if !ok {
			text := strings.Clone(v.Str)
			at = int32(len(x.texts))
			x.texts = append(x.texts, text)
			x.code[text] = at
		}
		x.text[code] = at
	}
}

func (x *column) quantity(code int32) quantity {
	q := quantity{near: x.number[code]}
	if x.rest != nil {
		q.rest = x.rest[code]
	}
	return q
}

// holds evaluates one test on records, of the candidate's.
func (c *Columns) holds(k *check, code int32) bool {
	x := c.fields[k.column]
	if x.numeric {
		if !x.valid[code] || k.null {
			return k.ofNull()
		}
		return k.holdsOfNumber(x.quantity(code))
	}
	if x.text[code] < 0 || k.null {
		return k.ofNull()
	}
	return k.holdsOfText(x.texts[x.text[code]])
}

// fill sets the bits of the candidates of which a test holds.
func (c *Columns) fill(b bitset, k *check) {
	x := c.fields[k.column]
	if x.numeric || k.null {
		for code := range int32(c.n) {
			if c.holds(k, code) {
				b.set(code)
			}
		}
		return
	}
	of := make([]bool, len(x.texts)) // a text is asked about once, not once for each candidate that has it
	for i, text := range x.texts {
		of[i] = k.holdsOfText(text)
	}
	null := k.ofNull()
	for code, text := range x.text {
		if text < 0 && null || text >= 0 && of[text] {
			b.set(int32(code))
		}
	}
}

// has reports whether all fields that the tests read are held.
func (c *Columns) has(where [][]check) bool {
	for _, conjunction := range where {
		for i := range conjunction {
			if k := &conjunction[i]; !k.events && (k.column >= len(c.fields) || c.fields[k.column] == nil || c.fields[k.column].kind != k.kind) {
				return false
			}
		}
	}
	return true
}
