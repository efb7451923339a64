package rowtext

import (
	"math"
	"strconv"

	"github.com/palate-dev/palate/internal/schema"
)

// AppendCSVHeader appends the header line of an export: the schema's field names in its order.
func AppendCSVHeader(dst []byte, s *schema.Schema) []byte {
	for i, f := range s.Fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, f.Name...)
	}
	return append(dst, '\n')
}

// AppendCSVRow appends one record so that ReadCSV gives back the same values. Null is an empty field; a string that holds a comma, a quote, a
// backslash or a line end is quoted and escaped; numbers have the fewest digits that read back as the same number.
func AppendCSVRow(dst []byte, s *schema.Schema, v []schema.Value) []byte {
	for i := range s.Fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		if !v[i].Valid {
			continue
		}
		switch s.Fields[i].Kind {
		case schema.String:
			dst = AppendQuoted(dst, v[i].Str)
		case schema.Int, schema.Long:
			dst = strconv.AppendInt(dst, v[i].Int, 10)
		case schema.Float, schema.Double:
			dst = AppendDecimal(dst, v[i].Float)
		case schema.Boolean:
			dst = strconv.AppendBool(dst, v[i].Int != 0)
		}
	}
	return append(dst, '\n')
}

// AppendQuoted appends a text, in quotes if it needs them.
func AppendQuoted(dst []byte, s string) []byte {
	if !NeedsQuotes(s) {
		return append(dst, s...)
	}
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, `\u000A`...)
		case '\r':
			dst = append(dst, `\u000D`...)
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// NeedsQuotes tells whether a text cannot stand in a CSV file as it is.
func NeedsQuotes(s string) bool {
	for i := range len(s) {
		switch s[i] {
		case ',', '"', '\\', '\r', '\n':
			return true
		}
	}
	return false
}

// AppendDecimal appends a number with the fewest digits that read back as the same number. It uses an exponent only where digits alone would be unreadable.
func AppendDecimal(dst []byte, x float64) []byte {
	if n := int64(x * 100); x != 0 && n > -1e15 && n < 1e15 && float64(n)/100 == x {
		return appendHundredths(dst, n) // nearly every value: at most 15 digits, so no shorter decimal reads back as x
	}
	format := byte('f')
	if abs := math.Abs(x); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, x, format, -1, 64)
}

func appendHundredths(dst []byte, n int64) []byte {
	if n < 0 {
		dst = append(dst, '-')
		n = -n
	}
	dst = strconv.AppendInt(dst, n/100, 10)
	switch tens, ones := byte(n/10%10), byte(n%10); {
	case ones != 0:
		dst = append(dst, '.', '0'+tens, '0'+ones)
	case tens != 0:
		dst = append(dst, '.', '0'+tens)
	}
	return dst
}
