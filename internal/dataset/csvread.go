package dataset

import (
	"context"
	"errors"
	"io"
)

// CSVOptions says how one object is read.
type CSVOptions struct {
	Name     string                  // object name, for messages
	Workers  int                     // parsing goroutines; 0: GOMAXPROCS
	Header   []string                // if set, the header must equal it: the other files of a folder
	Progress func(rows, bytes int64) // totals of this object, never called concurrently; may be nil
}

// InputError is a fault of the customer's input.
type InputError struct {
	Reason string // what is wrong, in the words of the API's failure reasons
	File   string // object name
	Line   int64  // 1-based; 0: the whole object
	Column string // column name; "": the whole line
	Cause  string // a short sentence without full stop
}

func (e *InputError) Error() string { return e.Reason }

// ReadCSV parses one CSV object.
func ReadCSV(ctx context.Context, r io.Reader, s *Schema, o CSVOptions, emit func(worker int) func(line int64, v []Value) error) (header []string, rows int64, err error) {
	return nil, 0, errors.New("ReadCSV: not built yet")
}
