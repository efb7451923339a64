package api

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"sync"
	"unicode/utf16"
	"unicode/utf8"
)

// The reader below exists because encoding/json is too kind for a front door: it takes the last of two equal keys, matches names in any
// case, and silently replaces what is not UTF-8, which would make two user ids one. Here each of these is an error.

type valueKind uint8

const (
	nullValue valueKind = iota
	boolValue
	numberValue
	stringValue
	arrayValue
	objectValue
)

// value is one node of a parsed JSON text.
type value struct {
	kind     valueKind
	text     string // of a string: its content; of a number or a bool: as written
	*members        // of an array or an object, nil of all else: most values are strings, and thousands of them pass through memory
}

type members struct {
	names []string // of an object: the name of each item
	items []value
}

// maxDepth bounds recursion; the deepest request of the models has eight levels.
const maxDepth = 32

// reader parses one text after the other. The values of a text stand in slabs that the next text uses again, and their strings share one copy of the text,
// so that parsing allocates nothing but that copy and the strings that have escapes.
type reader struct {
	in    []byte
	text  string // the same bytes
	at    int
	depth int

	names, nameSlab []string // of the objects that are open, innermost last; of those that ended
	items, itemSlab []value  // the same for items
	membersSlab     []members
}

var readers = sync.Pool{New: func() any { return new(reader) }}

// release makes the reader ready for another text. The values of this one must not be used any more; their strings may.
func (r *reader) release() {
	const most = 4096
	if cap(r.items) > most || cap(r.itemSlab) > most || cap(r.membersSlab) > most {
		return // what one huge request needed is not kept for ever
	}
	for _, s := range [...]*[]string{&r.names, &r.nameSlab} {
		clear(*s) // what lies beyond is clear
		*s = (*s)[:0]
	}
	for _, s := range [...]*[]value{&r.items, &r.itemSlab} {
		clear(*s)
		*s = (*s)[:0]
	}
	clear(r.membersSlab)
	*r = reader{names: r.names, nameSlab: r.nameSlab, items: r.items, itemSlab: r.itemSlab, membersSlab: r.membersSlab[:0]}
	readers.Put(r)
}

// keep moves what stands in stack from an index on to a slab and returns it there. Behind the end of the stack everything is clear.
func keep[T any](stack, slab *[]T, from int) []T {
	part := (*stack)[from:]
	if cap(*slab)-len(*slab) < len(part) {
		*slab = make([]T, 0, max(2*cap(*slab), len(part), 64)) // what ended before keeps the old one
	}
	at := len(*slab)
	*slab = append(*slab, part...)
	clear(part)
	*stack = (*stack)[:from]
	return (*slab)[at:len(*slab):len(*slab)]
}

// parse reads one JSON text. An error says where, never what: the text can hold user ids.
func parse(in []byte) (value, error) { return new(reader).parse(in) }

func (r *reader) parse(in []byte) (value, error) {
	r.in, r.text = in, string(in)
	r.space()
	v, err := r.value()
	if err == nil {
		if r.space(); r.at < len(r.in) {
			err = errors.New("more than one JSON value")
		}
	}
	if err != nil {
		return value{}, fmt.Errorf("%w at byte %d", err, r.at)
	}
	return v, nil
}

// member returns the item of that name, or null.
func (v *value) member(name string) *value {
	for i := range v.names {
		if v.names[i] == name {
			return &v.items[i]
		}
	}
	return &absent
}

// absent stands for every member that an object does not have. Nobody writes to it.
var absent value

func (r *reader) space() {
	for r.at < len(r.in) && r.in[r.at] <= ' ' && strings.IndexByte(" \t\r\n", r.in[r.at]) >= 0 {
		r.at++
	}
}

func (r *reader) peek() byte {
	if r.at < len(r.in) {
		return r.in[r.at]
	}
	return 0
}

func (r *reader) value() (value, error) {
	switch c := r.peek(); {
	case c == '{':
		return r.nested('}', objectValue)
	case c == '[':
		return r.nested(']', arrayValue)
	case c == '"':
		s, err := r.string()
		return value{kind: stringValue, text: s}, err
	case c == '-' || '0' <= c && c <= '9':
		return r.number()
	default:
		return r.word()
	}
}

var words = [...]struct {
	text []byte
	kind valueKind
}{{[]byte("null"), nullValue}, {[]byte("true"), boolValue}, {[]byte("false"), boolValue}}

func (r *reader) word() (value, error) {
	for _, w := range words {
		if bytes.HasPrefix(r.in[r.at:], w.text) {
			r.at += len(w.text)
			return value{kind: w.kind, text: r.text[r.at-len(w.text) : r.at]}, nil
		}
	}
	return value{}, errors.New("expected a JSON value")
}

// nested reads an object or an array.
func (r *reader) nested(end byte, kind valueKind) (value, error) {
	v := value{kind: kind}
	if r.depth++; r.depth > maxDepth {
		return v, errors.New("JSON is nested too deep")
	}
	r.at++
	r.space()
	names, items := len(r.names), len(r.items)
	for r.peek() != end {
		if len(r.items) > items {
			if r.peek() != ',' {
				return v, fmt.Errorf("expected ',' or '%c'", end)
			}
			r.at++
			r.space()
		}
		if kind == objectValue {
			name, err := r.name()
			if err != nil {
				return v, err
			}
			r.names = append(r.names, name)
		}
		if err := r.item(); err != nil {
			return v, err
		}
		r.space()
	}
	r.at++
	r.depth--
	if len(r.membersSlab) == cap(r.membersSlab) {
		r.membersSlab = make([]members, 0, max(2*cap(r.membersSlab), 16))
	}
	r.membersSlab = append(r.membersSlab, members{keep(&r.names, &r.nameSlab, names), keep(&r.items, &r.itemSlab, items)})
	v.members = &r.membersSlab[len(r.membersSlab)-1]
	if twice(v.names) {
		return v, errors.New("a name stood twice in the object that ends")
	}
	return v, nil
}

// item reads an item of the object or array that is open. Most are strings: lists have hundreds of them.
func (r *reader) item() error {
	if r.peek() == '"' {
		text, err := r.string()
		r.items = append(r.items, value{kind: stringValue, text: text})
		return err
	}
	v, err := r.value()
	r.items = append(r.items, v)
	return err
}

func (r *reader) name() (string, error) {
	if r.peek() != '"' {
		return "", errors.New("expected the name of a member")
	}
	name, err := r.string()
	if err != nil {
		return "", err
	}
	if r.space(); r.peek() != ':' {
		return "", errors.New("expected ':'")
	}
	r.at++
	r.space()
	return name, nil
}

// twice tells whether two names are equal.
func twice(names []string) bool {
	if len(names) > 16 { // the usual object is small; a large one must not cost its square
		seen := make(map[string]bool, len(names))
		for _, n := range names {
			if seen[n] {
				return true
			}
			seen[n] = true
		}
		return false
	}
	for i, n := range names {
		for _, m := range names[:i] {
			if n == m {
				return true
			}
		}
	}
	return false
}

// number reads a number as RFC 8259 has it.
func (r *reader) number() (value, error) {
	start := r.at
	if r.peek() == '-' {
		r.at++
	}
	if r.peek() == '0' {
		r.at++
	} else if r.digits() == 0 {
		return value{}, errors.New("expected a digit")
	}
	if r.peek() == '.' {
		r.at++
		if r.digits() == 0 {
			return value{}, errors.New("expected a digit")
		}
	}
	if c := r.peek(); c == 'e' || c == 'E' {
		r.at++
		if c := r.peek(); c == '+' || c == '-' {
			r.at++
		}
		if r.digits() == 0 {
			return value{}, errors.New("expected a digit")
		}
	}
	return value{kind: numberValue, text: r.text[start:r.at]}, nil
}

func (r *reader) digits() int {
	start := r.at
	for '0' <= r.peek() && r.peek() <= '9' {
		r.at++
	}
	return r.at - start
}

// string reads a quoted string; the common one without escapes is a part of the text.
func (r *reader) string() (string, error) {
	r.at++
	start, ascii := r.at, true
	for r.at < len(r.in) {
		if ascii {
			r.at += plainBytes(r.in[r.at:])
			if r.at == len(r.in) {
				break
			}
		}
		switch c := r.in[r.at]; {
		case c == '"':
			s := r.text[start:r.at]
			if !ascii && !utf8.ValidString(s) {
				return "", errors.New("a string that is not UTF-8 ends")
			}
			r.at++
			return s, nil
		case c == '\\':
			return r.escaped(start)
		case c < ' ':
			return "", errors.New("a control character stands in a string")
		case c >= utf8.RuneSelf:
			ascii = false
		}
		r.at++
	}
	return "", errors.New("a string does not end")
}

// plainBytes counts the bytes at the beginning of a text that stand for themselves in a string, whatever follows: all but controls, quotes, backslashes and what is not ASCII. It
// looks at eight at a time and may stop before the last seven.
func plainBytes(text []byte) (n int) {
	const each = 0x0101010101010101 // times a byte: eight of it
	for ; n+8 <= len(text); n += 8 {
		w := binary.LittleEndian.Uint64(text[n:])
		quote, backslash := w^each*'"', w^each*'\\'
		// The highest bit of a byte: whether it is less than what is taken away. A byte that borrows from the next is one that ends the search.
		ends := (w | (w-each*' ')&^w | (quote-each)&^quote | (backslash-each)&^backslash) & (each * 0x80)
		if ends != 0 {
			return n + bits.TrailingZeros64(ends)/8
		}
	}
	return n
}

// escaped goes on with the string that began at start and has its first escape here.
func (r *reader) escaped(start int) (string, error) {
	out := append(make([]byte, 0, r.at-start+64), r.in[start:r.at]...)
	for r.at < len(r.in) {
		c := r.in[r.at]
		switch {
		case c == '"':
			if !utf8.Valid(out) {
				return "", errors.New("a string that is not UTF-8 ends")
			}
			r.at++
			return string(out), nil
		case c == '\\':
			c, err := r.escape()
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, c)
			continue
		case c < ' ':
			return "", errors.New("a control character stands in a string")
		}
		out = append(out, c)
		r.at++
	}
	return "", errors.New("a string does not end")
}

const (
	escapeLetters = `"\/bfnrt`
	escapeMeaning = "\"\\/\b\f\n\r\t"
)

func (r *reader) escape() (rune, error) {
	r.at++
	c := r.peek()
	if c != 'u' {
		i := strings.IndexByte(escapeLetters, c)
		if c == 0 || i < 0 {
			return 0, errors.New("unknown escape")
		}
		r.at++
		return rune(escapeMeaning[i]), nil
	}
	high, err := r.unit()
	if err != nil || !utf16.IsSurrogate(high) {
		return high, err
	}
	if r.peek() == '\\' && r.at+1 < len(r.in) && r.in[r.at+1] == 'u' {
		r.at++
		low, err := r.unit()
		if err != nil {
			return 0, err
		}
		if pair := utf16.DecodeRune(high, low); pair != utf8.RuneError {
			return pair, nil
		}
	}
	return 0, errors.New("half a surrogate pair stands alone")
}

// unit reads the uXXXX of an escape.
func (r *reader) unit() (rune, error) {
	if r.at+5 > len(r.in) {
		return 0, errors.New("an escape does not end")
	}
	n, err := strconv.ParseUint(string(r.in[r.at+1:r.at+5]), 16, 16)
	if err != nil {
		return 0, errors.New("expected four hexadecimal digits")
	}
	r.at += 5
	return rune(n), nil
}
