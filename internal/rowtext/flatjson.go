package rowtext

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// flatReader walks one flat JSON object: the scanner behind Complete. Every event carries such an object, and encoding/json's token stream allocates for
// each token; this allocates only for strings with escapes. What it accepts and what it reads are what encoding/json does, which a test holds.
type flatReader struct {
	s  string
	at int
}

// scalar is a member's value. Text is what a string holds, a number as written, "true" or "false"; it may share the memory of the object.
type scalar struct {
	text         string
	null, number bool
}

func (r *flatReader) space() {
	for r.at < len(r.s) {
		switch r.s[r.at] {
		case ' ', '\t', '\r', '\n':
			r.at++
		default:
			return
		}
	}
}

// take skips white space and then c, if it stands there.
func (r *flatReader) take(c byte) bool {
	r.space()
	if r.at < len(r.s) && r.s[r.at] == c {
		r.at++
		return true
	}
	return false
}

// open reads the opening brace; more reads a member's name, and tells whether there is one.
func (r *flatReader) open() bool { return r.take('{') }

func (r *flatReader) more(first bool) (name string, ok bool, err error) {
	if r.take('}') {
		if r.space(); r.at < len(r.s) {
			return "", false, errNotFlat
		}
		return "", false, nil
	}
	if !first && !r.take(',') {
		return "", false, errNotFlat
	}
	if r.space(); r.at == len(r.s) || r.s[r.at] != '"' {
		return "", false, errNotFlat
	}
	if name, ok = r.string(); !ok || !r.take(':') {
		return "", false, errNotFlat
	}
	return name, true, nil
}

// value reads a scalar.
func (r *flatReader) value() (v scalar, err error) {
	r.space()
	rest := r.s[r.at:]
	switch {
	case rest == "":
		return v, errNotFlat
	case rest[0] == '"':
		text, ok := r.string()
		if !ok {
			return v, errNotFlat
		}
		return scalar{text: text}, nil
	case strings.HasPrefix(rest, "null"):
		r.at += len("null")
		return scalar{null: true}, nil
	case strings.HasPrefix(rest, "true"):
		r.at += len("true")
		return scalar{text: "true"}, nil
	case strings.HasPrefix(rest, "false"):
		r.at += len("false")
		return scalar{text: "false"}, nil
	}
	n := numberLength(rest)
	if n == 0 {
		return v, errNotFlat
	}
	r.at += n
	return scalar{text: rest[:n], number: true}, nil
}

// string reads a quoted string at its opening quote.
func (r *flatReader) string() (text string, ok bool) {
	start, plain := r.at, true
	for i := start + 1; i < len(r.s); i++ {
		switch c := r.s[i]; {
		case c == '"':
			r.at = i + 1
			if text = r.s[start+1 : i]; plain && utf8.ValidString(text) {
				return text, true
			}
			err := json.Unmarshal([]byte(r.s[start:r.at]), &text) // escapes, and bytes that it replaces
			return text, err == nil
		case c == '\\':
			plain = false
			i++
		case c < ' ':
			return "", false
		}
	}
	return "", false
}

// numberLength returns how long the JSON number is that s begins with; 0 if there is none.
func numberLength(s string) int {
	i := 0
	digits := func() bool {
		start := i
		for i < len(s) && s[i]-'0' <= 9 {
			i++
		}
		return i > start
	}
	if i < len(s) && s[i] == '-' {
		i++
	}
	if i < len(s) && s[i] == '0' {
		i++
	} else if !digits() {
		return 0
	}
	if i < len(s) && s[i] == '.' {
		if i++; !digits() {
			return 0
		}
	}
	if i < len(s) && s[i]|0x20 == 'e' {
		if i++; i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		if !digits() {
			return 0
		}
	}
	return i
}
