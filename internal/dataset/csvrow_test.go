package dataset

import "strconv"

// AppendCSVRow is the plain twin of appendCSVRecord: it appends one record so that ReadCSV gives back the same values. Null is an empty field; a string that holds a comma, a quote, a backslash or a
// line end is quoted and escaped; numbers have the fewest digits that read back as the same number.
func AppendCSVRow(dst []byte, s *Schema, v []Value) []byte {
	for i := range s.Fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		if !v[i].Valid {
			continue
		}
		switch s.Fields[i].Kind {
		case String:
			dst = appendCSVString(dst, v[i].Str)
		case Int, Long:
			dst = strconv.AppendInt(dst, v[i].Int, 10)
		case Float, Double:
			dst = appendDecimal(dst, v[i].Float)
		case Boolean:
			dst = strconv.AppendBool(dst, v[i].Int != 0)
		}
	}
	return append(dst, '\n')
}
