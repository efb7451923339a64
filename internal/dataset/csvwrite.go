package dataset

// AppendCSVHeader appends the header line.
func AppendCSVHeader(dst []byte, s *Schema) []byte { panic("not built yet") }

// AppendCSVRow appends one record.
func AppendCSVRow(dst []byte, s *Schema, v []Value) []byte { panic("not built yet") }
