package filter

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

type kind uint8

const (
	endToken kind = iota
	wordToken
	numberToken
	stringToken
	placeholderToken
	symbolToken // punctuation and comparison operators, told apart by their text
)

type token struct {
	kind kind
	pos  pos
	text string // of a string unescaped, of a placeholder without the dollar sign
}

// describe names a token in an error.
func (t token) describe() string {
	switch t.kind {
	case endToken:
		return "the end of the expression"
	case stringToken:
		return "a string"
	case placeholderToken:
		return "$" + t.text
	}
	return t.text
}

const maxPlaceholder = 50

// scanner cuts an expression into tokens.
type scanner struct {
	src string
	off int
}

// errorf makes an error at a byte offset of the source.
func (s *scanner) errorf(at pos, format string, args ...any) *Error {
	return &Error{Pos: utf8.RuneCountInString(s.src[:at]) + 1, Msg: fmt.Sprintf(format, args...)}
}

func (s *scanner) next() (token, error) {
	for s.off < len(s.src) && isSpace(s.src[s.off]) {
		s.off++
	}
	t := token{pos: pos(s.off)}
	if s.off == len(s.src) {
		return t, nil
	}
	rest := s.src[s.off:]
	switch c := rest[0]; {
	case isLetter(c):
		t.kind, t.text = wordToken, prefix(rest, isWordByte)
	case isDigit(c) || c == '-':
		return s.scanNumber(t)
	case c == '"':
		return s.scanString(t)
	case c == '$':
		return s.scanPlaceholder(t)
	case c == '!' || c == '<' || c == '>':
		t.kind, t.text = symbolToken, rest[:1]
		if strings.HasPrefix(rest[1:], "=") {
			t.text = rest[:2]
		} else if c == '!' {
			return t, s.errorf(t.pos, "expected != instead of !")
		}
	case strings.IndexByte("=().,*|", c) >= 0:
		t.kind, t.text = symbolToken, rest[:1]
	case c == '\'':
		return t, s.errorf(t.pos, "strings are written in double quotes")
	default:
		r, _ := utf8.DecodeRuneInString(rest)
		return t, s.errorf(t.pos, "unexpected character %q", r)
	}
	s.off += len(t.text)
	return t, nil
}

func (s *scanner) scanNumber(t token) (token, error) {
	t.kind = numberToken
	end := s.off + 1
	for end < len(s.src) && (isWordByte(s.src[end]) || s.src[end] == '.') {
		end++
	}
	t.text = s.src[s.off:end]
	if !isNumber(t.text) {
		return t, s.errorf(t.pos, "%s is not a number", t.text)
	}
	s.off = end
	return t, nil
}

// isNumber reports whether text is [ "-" ] , digits , [ "." , digits ].
func isNumber(text string) bool {
	whole, fraction, point := strings.Cut(strings.TrimPrefix(text, "-"), ".")
	return whole != "" && prefix(whole, isDigit) == whole && prefix(fraction, isDigit) == fraction && point == (fraction != "")
}

func (s *scanner) scanString(t token) (token, error) {
	t.kind = stringToken
	var b strings.Builder
	for i := s.off + 1; i < len(s.src); i++ {
		switch c := s.src[i]; c {
		case '"':
			t.text = b.String()
			s.off = i + 1
			return t, nil
		case '\\':
			i++
			if i == len(s.src) || s.src[i] != '"' && s.src[i] != '\\' {
				return t, s.errorf(pos(i-1), `a backslash in a string must be followed by " or \`)
			}
			b.WriteByte(s.src[i])
		default:
			b.WriteByte(c)
		}
	}
	return t, s.errorf(t.pos, "the string is not closed")
}

func (s *scanner) scanPlaceholder(t token) (token, error) {
	t.kind, t.text = placeholderToken, prefix(s.src[s.off+1:], isWordByte)
	if t.text == "" || len(t.text) > maxPlaceholder {
		return t, s.errorf(t.pos, "the name of a placeholder has 1 to %d letters, digits and underscores", maxPlaceholder)
	}
	s.off += 1 + len(t.text)
	return t, nil
}

// prefix returns the longest prefix of s of bytes in the class.
func prefix(s string, class func(byte) bool) string {
	n := 0
	for n < len(s) && class(s[n]) {
		n++
	}
	return s[:n]
}

func isSpace(c byte) bool    { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
func isDigit(c byte) bool    { return '0' <= c && c <= '9' }
func isLetter(c byte) bool   { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' }
func isWordByte(c byte) bool { return isLetter(c) || isDigit(c) }
