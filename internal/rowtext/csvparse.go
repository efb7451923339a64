package rowtext

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"unicode/utf8"

	"github.com/palate-dev/palate/internal/schema"
)

// csvParser turns lines into rows. It belongs to one goroutine.
type csvParser struct {
	columns []Rule
	fields  int
	batch   []schema.Value // rows, one after the other, which the sink gets together
	failed  int64          // line of the row at which the sink failed
	lines   []int64        // of the rows of the batch; as many as it has capacity for
	values  []schema.Value // of the row being parsed
	scratch []byte         // unescaped values of the block
	strict  bool           // the line may hold NUL, carriage returns or bytes that are not UTF-8: look
}

// A batch is large enough for its sink to wait for several cache misses at once, and small enough to stay in the nearest caches.
const (
	BatchRows   = 64
	batchValues = 1024
)

func newCSVParser(columns []Rule, fields int) *csvParser {
	rows := min(max(batchValues/max(fields, 1), 1), BatchRows)
	return &csvParser{columns: columns, fields: fields, batch: make([]schema.Value, rows*fields), lines: make([]int64, 0, rows)}
}

// plainLine parses the line that data begins with, in a block without quotes, carriage returns or suspect bytes, and returns what follows it: the fast path.
// It returns nil if there is anything wrong with the line; record says what.
func (p *csvParser) plainLine(data []byte) (rest []byte) {
	last := len(p.columns) - 1
	for i := range p.columns {
		n := nextDelimiter(data)
		end := n == len(data) || data[n] == '\n'
		if end != (i == last) {
			return nil
		}
		if c := &p.columns[i]; c.field >= 0 && c.parse(data[:n], &p.values[c.field]) != noFault {
			return nil
		}
		data = data[min(n+1, len(data)):]
	}
	return data
}

// nextDelimiter returns the offset of the first comma or line feed, or the length of data. Values are short, so that looking at eight bytes at a time here is
// faster than two calls.
func nextDelimiter(data []byte) int {
	const (
		ones    = 0x0101010101010101
		highs   = 0x8080808080808080
		commas  = ',' * ones
		newline = '\n' * ones
	)
	at := 0
	for ; len(data)-at >= 8; at += 8 {
		w := binary.LittleEndian.Uint64(data[at:])
		c, n := w^commas, w^newline
		if found := ((c-ones)&^c | (n-ones)&^n) & highs; found != 0 { // the lowest bit is exact
			return at + bits.TrailingZeros64(found)>>3
		}
	}
	for ; at < len(data); at++ {
		if data[at] == ',' || data[at] == '\n' {
			return at
		}
	}
	return at
}

// record parses any line.
func (p *csvParser) record(line []byte) (column int, fault faultKind) {
	count := 0
	fault = p.split(line, func(i int, cell []byte) faultKind {
		column, count = i, i+1
		if i >= len(p.columns) {
			return countFault
		}
		if c := &p.columns[i]; c.field >= 0 {
			return c.parse(cell, &p.values[c.field])
		}
		return noFault
	})
	if fault == noFault && count != len(p.columns) {
		return column, countFault
	}
	if fault >= openQuoteFault { // found while splitting, so in the value after the last good one
		column = count
	}
	return column, fault
}

// split calls f for each value of a line, unquoted. The values are valid until the next block.
func (p *csvParser) split(line []byte, f func(i int, cell []byte) faultKind) faultKind {
	if cap(p.scratch)-len(p.scratch) < len(line) { // room for all values of the line, since unescaping only shortens; values before it keep the old memory
		p.scratch = make([]byte, 0, max(len(line), 1<<16))
	}
	for i := 0; ; i++ {
		var cell []byte
		var end int
		if len(line) > 0 && line[0] == '"' {
			var fault faultKind
			if cell, end, fault = p.unquote(line); fault != noFault {
				return fault
			}
		} else {
			end = bytes.IndexByte(line, ',')
			if end < 0 {
				end = len(line)
			}
			cell = line[:end]
			if bytes.IndexByte(cell, '"') >= 0 {
				return bareQuoteFault
			}
		}
		if p.strict {
			if fault := checkText(line[:end]); fault != noFault {
				return fault
			}
		}
		if fault := f(i, cell); fault != noFault {
			return fault
		}
		if end == len(line) {
			return noFault
		}
		line = line[end+1:]
	}
}

func checkText(raw []byte) faultKind {
	switch {
	case !utf8.Valid(raw):
		return encodingFault
	case bytes.IndexByte(raw, 0) >= 0:
		return nulFault
	case bytes.IndexByte(raw, '\r') >= 0:
		return returnFault
	}
	return noFault
}

// unquote reads the quoted value that line starts with. end is the offset of the comma after it or the line's length.
func (p *csvParser) unquote(line []byte) (cell []byte, end int, fault faultKind) {
	start := len(p.scratch)
	rest := line[1:]
	for {
		n := bytes.IndexAny(rest, `"\`)
		if n < 0 {
			return nil, 0, openQuoteFault
		}
		p.scratch = append(p.scratch, rest[:n]...)
		rest = rest[n:]
		switch {
		case bytes.HasPrefix(rest, []byte(`""`)):
			p.scratch = append(p.scratch, '"')
			rest = rest[2:]
		case rest[0] == '"':
			end = len(line) - len(rest) + 1
			if end < len(line) && line[end] != ',' {
				return nil, 0, closeQuoteFault
			}
			return p.scratch[start:len(p.scratch):len(p.scratch)], end, noFault
		default:
			c, size := unescape(rest)
			p.scratch = append(p.scratch, c)
			rest = rest[size:]
		}
	}
}

// unescape reads the escape sequence, or the ordinary backslash, that b starts with.
func unescape(b []byte) (c byte, size int) {
	if len(b) > 1 && (b[1] == '"' || b[1] == '\\') {
		return b[1], 2
	}
	if len(b) >= 6 && string(b[1:5]) == "u000" {
		switch b[5] {
		case 'A', 'a':
			return '\n', 6
		case 'D', 'd':
			return '\r', 6
		}
	}
	return '\\', 1
}

// failure words a fault of a line. A wrong number of values explains any other fault better than that fault itself.
func (p *csvParser) failure(file string, line int64, record []byte, column int, fault faultKind) *InputError {
	count := 0
	whole := p.split(record, func(i int, _ []byte) faultKind {
		count = i + 1
		return noFault
	})
	if whole == noFault && count != len(p.columns) {
		return &InputError{Reason: reasonNotConforming, File: file, Line: line, Cause: fmt.Sprintf("The line has %d values, the header has %d columns", count, len(p.columns))}
	}
	if fault == countFault {
		column, fault = count, whole
	}
	e := &InputError{Reason: reasonNotConforming, File: file, Line: line}
	if column < len(p.columns) {
		c := p.columns[column]
		e.Column = c.name
		e.Cause = fault.cause(c)
		if fault == lengthFault {
			e.Reason, e.Cause = reasonLength(c.limit, c.name), ""
		}
	} else {
		e.Cause = fault.cause(Rule{})
	}
	return e
}
