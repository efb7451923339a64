package dataset

import (
	"strconv"

	"github.com/palate-dev/palate/internal/rowtext"
	"github.com/palate-dev/palate/internal/schema"
)

// csvVector is a column of a block on its way to CSV.
type csvVector struct {
	*vector             // nil: the table has no such column yet
	kind    schema.Kind // of the field
	quoted  []bool      // which strings of the dictionary must be
}

// csvColumns are the columns of a block by field of a schema; it is worked out once a block.
func (b *block) csvColumns(fields []int, s *schema.Schema) []csvVector {
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
				x.quoted[code] = rowtext.NeedsQuotes(text)
			}
		}
		b.csv[f] = x
	}
	return b.csv
}

// appendCSVRecord appends row i of a block so that rowtext.ReadCSV gives back the same values. Null is an empty field; a string that holds a comma, a quote, a backslash
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
		if x.vector.kind == schema.String {
			switch code := x.code[i]; {
			case code == nullCode:
			case x.quoted[code]:
				dst = rowtext.AppendQuoted(dst, x.dict[code])
			default:
				dst = append(dst, x.dict[code]...)
			}
			continue
		}
		if x.null != nil && x.null[i] {
			continue
		}
		switch x.kind {
		case schema.Int, schema.Long:
			dst = strconv.AppendInt(dst, x.ints[i], 10)
		case schema.Float, schema.Double:
			dst = rowtext.AppendDecimal(dst, x.floats[i])
		case schema.Boolean:
			dst = strconv.AppendBool(dst, x.ints[i] != 0)
		}
	}
	return append(dst, '\n')
}
