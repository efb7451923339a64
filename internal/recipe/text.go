package recipe

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// plainText is a text as it is trained on: without the tags, comments and entities of HTML and XML, and with one space where there was any white space.
// What is removed parts words, so "a<br>b&nbsp;c" has three.
func plainText(s string) string {
	var b strings.Builder
	space := false
	for len(s) > 0 {
		if n := markup(s); n > 0 {
			s, space = s[n:], true
			continue
		}
		r, n := utf8.DecodeRuneInString(s)
		if unicode.IsSpace(r) || unicode.IsControl(r) {
			space = true
		} else {
			if space && b.Len() > 0 {
				b.WriteByte(' ')
			}
			space = false
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

// longestEntity bounds the name of an entity: the longest of HTML, &CounterClockwiseContourIntegral;, has 33 characters.
const longestEntity = 33

// markup is the length of the tag, comment or entity that s begins with, 0 if it begins with none.
func markup(s string) int {
	switch {
	case strings.HasPrefix(s, "<!--"):
		if end := strings.Index(s, "-->"); end > 0 {
			return end + len("-->")
		}
	case len(s) > 1 && s[0] == '<' && (s[1] == '/' || s[1] == '!' || s[1] == '?' || isLetter(s[1])):
		if end := strings.IndexAny(s[1:], "<>"); end >= 0 && s[1+end] == '>' {
			return end + 2
		}
	case s[0] == '&':
		for n := 1; n < min(len(s), longestEntity+1); n++ {
			switch c := s[n]; {
			case c == ';' && n > 1:
				return n + 1
			case isLetter(c), '0' <= c && c <= '9', c == '#' && n == 1:
			default:
				return 0
			}
		}
	}
	return 0
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// unspaced are the scripts that write words without spaces between them.
var unspaced = []*unicode.RangeTable{unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar}

// words calls do for the words of a text in lower case: runs of letters, marks and digits. Of scripts without spaces every two neighbouring characters are a word.
func words(text string, do func(word string)) {
	start := -1 // of the run that is being read
	end := func(at int) {
		if start >= 0 {
			do(strings.ToLower(text[start:at]))
		}
		start = -1
	}
	before, after := -1, 0 // where the last character of an unspaced script begins and ends
	alone := true          // it is in no pair yet
	single := func() {
		if before >= 0 && alone {
			do(text[before:after])
		}
		before, alone = -1, true
	}
	for at, r := range text {
		switch {
		case unicode.In(r, unspaced...) && !unicode.IsSpace(r):
			end(at)
			size := utf8.RuneLen(r)
			if before >= 0 {
				do(text[before : at+size])
				alone = false
			}
			before, after = at, at+size
			continue
		case unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r):
			single()
			if start < 0 {
				start = at
			}
			continue
		case r == '\'' || r == '’': // don't, l’été: one word
			if start >= 0 {
				continue
			}
		}
		single()
		end(at)
	}
	single()
	end(len(text))
}
