package rowtext

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/palate-dev/palate/internal/schema"
)

// Limits on the characters of a value.
const (
	maxID     = 256
	maxString = 1000
	MaxText   = 20_000 // textual values: what is longer is cut, not refused
)

// Limits on the reserved numbers of actions: their value, and after how many days one may be recommended again.
const (
	minActionValue, maxActionValue         = 1, 10
	minRepeatFrequency, maxRepeatFrequency = 0, 30
)

// Rule is what a value of one field must be. The CSV parser notes in it which field a column fills.
type Rule struct {
	name      string
	field     int // -1: ignored
	kind      schema.Kind
	nullable  bool
	limit     int   // characters of a string
	truncate  bool  // cut at limit instead of refusing
	low, high int64 // limits of an integer
}

// RuleOf is the rule of a field.
func RuleOf(s *schema.Schema, field int) Rule {
	f := s.Fields[field]
	c := Rule{name: f.Name, field: field, kind: f.Kind, nullable: f.Nullable, limit: maxString, low: math.MinInt64, high: math.MaxInt64}
	if f.Kind == schema.Int {
		c.low, c.high = math.MinInt32, math.MaxInt32
	}
	switch {
	case identifies(s, f.Name):
		c.limit = maxID
	case f.Textual:
		c.limit, c.truncate = MaxText, true
	case s.Type == schema.Actions && f.Name == "VALUE":
		c.low, c.high = minActionValue, maxActionValue
	case s.Type == schema.Actions && f.Name == "REPEAT_FREQUENCY":
		c.low, c.high = minRepeatFrequency, maxRepeatFrequency
	}
	return c
}

// RuleOfKind is the rule of a column whose field is not known any more.
func RuleOfKind(name string, k schema.Kind, nullable bool) Rule {
	return Rule{name: name, field: -1, kind: k, nullable: nullable, limit: MaxText, low: math.MinInt64, high: math.MaxInt64}
}

// identifies reports whether the field of that name holds the id of the user, item or action that a row is about.
func identifies(s *schema.Schema, name string) bool {
	switch name {
	case "USER_ID":
		return s.Type == schema.Users || s.Type == schema.Interactions || s.Type == schema.ActionInteractions
	case "ITEM_ID":
		return s.Type == schema.Items || s.Type == schema.Interactions
	case "ACTION_ID":
		return s.Type == schema.Actions || s.Type == schema.ActionInteractions
	}
	return false
}

// parse converts the text of a value, which must be valid UTF-8, to the column's type. A string shares its bytes with cell.
func (c *Rule) parse(cell []byte, v *schema.Value) faultKind {
	if len(cell) == 0 {
		*v = schema.Value{}
		if c.nullable {
			return noFault
		}
		return nullFault
	}
	switch c.kind {
	case schema.String:
		if len(cell) > c.limit {
			var fault faultKind
			if cell, fault = c.fit(cell); fault != noFault {
				return fault
			}
		}
		*v = schema.Value{Valid: true, Str: unsafe.String(unsafe.SliceData(cell), len(cell))}
	case schema.Int, schema.Long:
		n, ok := parseInteger(cell)
		if !ok {
			return typeFault
		}
		if n < c.low || n > c.high {
			return rangeFault
		}
		*v = schema.Value{Valid: true, Int: n}
	case schema.Float, schema.Double:
		x, ok := parseDecimal(cell)
		if !ok || c.kind == schema.Float && !fitsFloat(x) {
			return typeFault
		}
		*v = schema.Value{Valid: true, Float: x}
	case schema.Boolean:
		switch string(cell) {
		case "true":
			*v = schema.Value{Valid: true, Int: 1}
		case "false":
			*v = schema.Value{Valid: true}
		default:
			return typeFault
		}
	}
	return noFault
}

// fit is for strings of more bytes than the limit has characters.
func (c *Rule) fit(cell []byte) ([]byte, faultKind) {
	if utf8.RuneCount(cell) <= c.limit {
		return cell, noFault
	}
	if !c.truncate {
		return nil, lengthFault
	}
	end := 0
	for range c.limit {
		_, size := utf8.DecodeRune(cell[end:])
		end += size
	}
	return cell[:end], noFault
}

// parseInteger accepts 5, -5 and, because many tools write integer columns with missing values so, 5.0.
func parseInteger(b []byte) (int64, bool) {
	digits := b
	if digits[0] == '-' {
		digits = digits[1:]
	}
	var n uint64
	i := 0
	for ; i < len(digits) && digits[i]-'0' <= 9; i++ {
		if n > (math.MaxUint64-9)/10 {
			return 0, false
		}
		n = n*10 + uint64(digits[i]-'0')
	}
	if i == 0 || i < len(digits) && !zeroFraction(digits[i:]) {
		return 0, false
	}
	if len(digits) != len(b) {
		return -int64(n), n <= 1<<63
	}
	return int64(n), n <= math.MaxInt64
}

// zeroFraction matches .0, .00 and so on.
func zeroFraction(b []byte) bool {
	return len(b) > 1 && b[0] == '.' && len(bytes.Trim(b[1:], "0")) == 0
}

// fitsFloat tells whether a number has a nearest float of 32 bits.
func fitsFloat(x float64) bool { return !math.IsInf(float64(float32(x)), 0) }

// parseDecimal accepts what strconv.ParseFloat does, without hexadecimal, underscores, infinities and NaN. Short decimals, which are nearly all, are
// converted here: a mantissa below 2^53 divided by a power of ten that float64 holds exactly is correctly rounded.
func parseDecimal(b []byte) (float64, bool) {
	digits := b
	if digits[0] == '-' {
		digits = digits[1:]
	}
	var mantissa uint64
	point := -1
	if len(digits) > 16 {
		return parseLongDecimal(b)
	}
	for i, c := range digits {
		if c == '.' && point < 0 {
			point = i
			continue
		}
		if c -= '0'; c > 9 {
			return parseLongDecimal(b)
		}
		mantissa = mantissa*10 + uint64(c)
	}
	x := float64(mantissa)
	if point >= 0 {
		if len(digits) == 1 {
			return 0, false
		}
		x /= [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}[len(digits)-point-1]
	}
	if mantissa >= 1<<53 {
		return parseLongDecimal(b)
	}
	if len(digits) != len(b) {
		if len(digits) == 0 {
			return 0, false
		}
		x = -x
	}
	return x, true
}

func parseLongDecimal(b []byte) (float64, bool) {
	for _, c := range b {
		if c-'0' > 9 && c != '-' && c != '+' && c != '.' && c != 'e' && c != 'E' {
			return 0, false
		}
	}
	x, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(b), len(b)), 64)
	return x, err == nil
}

// Check says what is wrong with a value, "" if nothing is. A text that an import would cut is cut.
func (c *Rule) Check(v *schema.Value) string {
	if !v.Valid {
		if !c.nullable {
			return "is null or empty"
		}
		return ""
	}
	switch c.kind {
	case schema.String:
		if c.truncate && len(v.Str) > c.limit {
			v.Str = firstRunes(v.Str, c.limit)
		}
		if !PlainText(v.Str, c.limit) {
			return "is too long or not plain text"
		}
	case schema.Int, schema.Long:
		if v.Int < c.low || v.Int > c.high {
			return "is out of its range"
		}
	case schema.Float, schema.Double:
		if math.IsNaN(v.Float) || math.IsInf(v.Float, 0) {
			return "is not a finite number"
		}
	}
	return ""
}

func firstRunes(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// PlainText is what a CSV file can hold.
func PlainText(s string, limit int) bool {
	return utf8.ValidString(s) && !strings.ContainsAny(s, "\x00\r") && (len(s) <= limit || utf8.RuneCountInString(s) <= limit)
}
