package dataset

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"unicode/utf8"
	"unsafe"
)

// Limits on the characters of a value.
const (
	maxID     = 256
	maxString = 1000
	maxText   = 20_000 // textual values: what is longer is cut, not refused
)

// Limits on the reserved numbers of actions: their value, and after how many days one may be recommended again.
const (
	minActionValue, maxActionValue         = 1, 10
	minRepeatFrequency, maxRepeatFrequency = 0, 30
)

// InputError is a fault of the customer's input. Its text is a failureReason: it says what is wrong and where, and never repeats a value of the input, which
// could be a user's id.
type InputError struct {
	Reason string // what is wrong, a sentence of the API's failure reasons
	File   string // object name
	Line   int64  // 1-based; 0 if the fault is not in one line
	Column string // column name, "" if the fault is not in one column
	Cause  string // one more sentence, without full stop
}

const reasonNotConforming = "Input CSV has rows that do not conform to the dataset schema."

func (e *InputError) Error() string {
	text := e.Reason
	if e.Line > 0 {
		text += fmt.Sprintf(" First failure: %s line %d", e.File, e.Line)
		if e.Column != "" {
			text += ", column " + e.Column
		}
		text += "."
	}
	if e.Cause != "" {
		text += " " + e.Cause + "."
	}
	return text
}

func reasonLength(limit int, column string) string {
	return fmt.Sprintf("Length cannot be more than %d characters for %s. If no values exceed the character limit, make sure your data follows the formatting guidelines listed in "+
		"https://docs.aws.amazon.com/personalize/latest/dg/data-prep-formatting.html.", limit, column)
}

// csvFault says what is wrong with a line or a value.
type csvFault uint8

const (
	noFault csvFault = iota
	countFault
	nullFault
	typeFault
	rangeFault
	lengthFault
	openQuoteFault
	closeQuoteFault
	bareQuoteFault
	encodingFault
	nulFault
	returnFault
)

func (f csvFault) cause(c csvColumn) string {
	switch f {
	case nullFault:
		return "The value is empty and the field does not admit null"
	case typeFault:
		return "The value is not of type " + c.kind.String()
	case rangeFault:
		return fmt.Sprintf("The value is not between %d and %d", c.low, c.high)
	case openQuoteFault:
		return "A quoted value is not closed on its line"
	case closeQuoteFault:
		return "A closing quote is not followed by a comma or the end of the line"
	case bareQuoteFault:
		return "A quote stands inside a value that is not quoted"
	case encodingFault:
		return "The text is not valid UTF-8"
	case nulFault:
		return "The text holds a NUL character"
	case returnFault:
		return "The text holds a carriage return"
	}
	return ""
}

// csvColumn is a column of a file and the field it fills.
type csvColumn struct {
	name      string
	field     int // -1: ignored
	kind      Kind
	nullable  bool
	limit     int   // characters of a string
	truncate  bool  // cut at limit instead of refusing
	low, high int64 // limits of an integer
}

// newCSVColumn also serves values from elsewhere: it holds what a value of the field must be.
func newCSVColumn(s *Schema, field int) csvColumn {
	f := s.Fields[field]
	c := csvColumn{name: f.Name, field: field, kind: f.Kind, nullable: f.Nullable, limit: maxString, low: math.MinInt64, high: math.MaxInt64}
	if f.Kind == Int {
		c.low, c.high = math.MinInt32, math.MaxInt32
	}
	switch {
	case s.identifies(f.Name):
		c.limit = maxID
	case f.Textual:
		c.limit, c.truncate = maxText, true
	case s.Type == Actions && f.Name == "VALUE":
		c.low, c.high = minActionValue, maxActionValue
	case s.Type == Actions && f.Name == "REPEAT_FREQUENCY":
		c.low, c.high = minRepeatFrequency, maxRepeatFrequency
	}
	return c
}

// identifies reports whether the field of that name holds the id of the user, item or action that a row is about.
func (s *Schema) identifies(name string) bool {
	switch name {
	case "USER_ID":
		return s.Type == Users || s.Type == Interactions || s.Type == ActionInteractions
	case "ITEM_ID":
		return s.Type == Items || s.Type == Interactions
	case "ACTION_ID":
		return s.Type == Actions || s.Type == ActionInteractions
	}
	return false
}

// csvParser turns lines into rows. It belongs to one goroutine.
type csvParser struct {
	columns []csvColumn
	fields  int
	batch   []Value // rows, one after the other, which the sink gets together
	failed  int64   // line of the row at which the sink failed
	lines   []int64 // of the rows of the batch; as many as it has capacity for
	values  []Value // of the row being parsed
	scratch []byte  // unescaped values of the block
	strict  bool    // the line may hold NUL, carriage returns or bytes that are not UTF-8: look
}

// A batch is large enough for its sink to wait for several cache misses at once, and small enough to stay in the nearest caches.
const (
	batchRows   = 64
	batchValues = 1024
)

func newCSVParser(columns []csvColumn, fields int) *csvParser {
	rows := min(max(batchValues/max(fields, 1), 1), batchRows)
	return &csvParser{columns: columns, fields: fields, batch: make([]Value, rows*fields), lines: make([]int64, 0, rows)}
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
func (p *csvParser) record(line []byte) (column int, fault csvFault) {
	count := 0
	fault = p.split(line, func(i int, cell []byte) csvFault {
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
func (p *csvParser) split(line []byte, f func(i int, cell []byte) csvFault) csvFault {
	if cap(p.scratch)-len(p.scratch) < len(line) { // room for all values of the line, since unescaping only shortens; values before it keep the old memory
		p.scratch = make([]byte, 0, max(len(line), 1<<16))
	}
	for i := 0; ; i++ {
		var cell []byte
		var end int
		if len(line) > 0 && line[0] == '"' {
			var fault csvFault
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

func checkText(raw []byte) csvFault {
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
func (p *csvParser) unquote(line []byte) (cell []byte, end int, fault csvFault) {
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

// parse converts the text of a value, which must be valid UTF-8, to the column's type. A string shares its bytes with cell.
func (c *csvColumn) parse(cell []byte, v *Value) csvFault {
	if len(cell) == 0 {
		*v = Value{}
		if c.nullable {
			return noFault
		}
		return nullFault
	}
	switch c.kind {
	case String:
		if len(cell) > c.limit {
			var fault csvFault
			if cell, fault = c.fit(cell); fault != noFault {
				return fault
			}
		}
		*v = Value{Valid: true, Str: unsafe.String(unsafe.SliceData(cell), len(cell))}
	case Int, Long:
		n, ok := parseInteger(cell)
		if !ok {
			return typeFault
		}
		if n < c.low || n > c.high {
			return rangeFault
		}
		*v = Value{Valid: true, Int: n}
	case Float, Double:
		x, ok := parseDecimal(cell)
		if !ok {
			return typeFault
		}
		*v = Value{Valid: true, Float: x}
	case Boolean:
		switch string(cell) {
		case "true":
			*v = Value{Valid: true, Int: 1}
		case "false":
			*v = Value{Valid: true}
		default:
			return typeFault
		}
	}
	return noFault
}

// fit is for strings of more bytes than the limit has characters.
func (c *csvColumn) fit(cell []byte) ([]byte, csvFault) {
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

// failure words a fault of a line. A wrong number of values explains any other fault better than that fault itself.
func (p *csvParser) failure(file string, line int64, record []byte, column int, fault csvFault) *InputError {
	count := 0
	whole := p.split(record, func(i int, _ []byte) csvFault {
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
		e.Cause = fault.cause(csvColumn{})
	}
	return e
}
