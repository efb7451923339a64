package dataset

import (
	"math"
	"strconv"
)

// AppendCSVHeader appends the header line of an export: the schema's field names in its order.
func AppendCSVHeader(dst []byte, s *Schema) []byte {
	for i, f := range s.Fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, f.Name...)
	}
	return append(dst, '\n')
}

func appendCSVString(dst []byte, s string) []byte {
	if !needsQuotes(s) {
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

func needsQuotes(s string) bool {
	for i := range len(s) {
		switch s[i] {
		case ',', '"', '\\', '\r', '\n':
			return true
		}
	}
	return false
}

// appendDecimal uses an exponent only where digits alone would be unreadable.
func appendDecimal(dst []byte, x float64) []byte {
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

// csvVector is a column of a block on its way to CSV.
type csvVector struct {
	*vector        // nil: the table has no such column yet
	kind    Kind   // of the field
	quoted  []bool // which strings of the dictionary must be
}

// csvColumns are the columns of a block by field of a schema; it is worked out once a block.
func (b *block) csvColumns(fields []int, s *Schema) []csvVector {
	if b.csv != nil {
		return b.csv
	}
	b.csv = make([]csvVector, len(fields))
	for f, col := range fields {
		x := csvVector{kind: s.Fields[f].Kind}
		if col >= 0 && !b.col(col).absent {
			x.vector = b.col(col)
			x.quoted = make([]bool, len(x.dict))
			for code, text := range x.dict {
				x.quoted[code] = needsQuotes(text)
			}
		}
		b.csv[f] = x
	}
	return b.csv
}

// appendCSVRecord appends row i of a block so that ReadCSV gives back the same values. Null is an empty field; a string that holds a comma, a quote, a backslash
// or a line end is quoted and escaped; numbers have the fewest digits that read back as the same number.
func appendCSVRecord(dst []byte, columns []csvVector, i int) []byte {
	for f := range columns {
		if f > 0 {
			dst = append(dst, ',')
		}
		x := &columns[f]
		if x.vector == nil {
			continue
		}
		if x.vector.kind == String {
			switch code := x.code[i]; {
			case code == nullCode:
			case x.quoted[code]:
				dst = appendCSVString(dst, x.dict[code])
			default:
				dst = append(dst, x.dict[code]...)
			}
			continue
		}
		if x.null != nil && x.null[i] {
			continue
		}
		switch x.kind {
		case Int, Long:
			dst = strconv.AppendInt(dst, x.ints[i], 10)
		case Float, Double:
			dst = appendDecimal(dst, x.floats[i])
		case Boolean:
			dst = strconv.AppendBool(dst, x.ints[i] != 0)
		}
	}
	return append(dst, '\n')
}
