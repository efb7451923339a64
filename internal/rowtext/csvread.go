// Package rowtext reads and writes rows as customers send and get them: CSV objects of imports and exports, deletion lists, and the properties of records that come
// in one by one. Everything is held against a schema.
//
// What is accepted in one form can be written in the other and reads back the same. Nothing is guessed and nothing skipped: a row that does not conform fails
// its object with an InputError, which says where and why and never repeats a value. Memory is bounded whatever the input: a line has at most 1 MiB, and a reader
// holds one block of it for each worker and two more.
package rowtext

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/palate-dev/palate/internal/pace"
	"github.com/palate-dev/palate/internal/schema"
)

// The dialect of imports, exports and deletion lists:
//
//   - UTF-8, a byte order mark is skipped; the first line is the header; LF or CRLF ends a line; blank lines do not count as records;
//   - one record is one physical line of at most 1 MiB, so that a file can be cut in blocks anywhere between lines;
//   - a value may stand in double quotes; inside, \" and "" mean a quote, \\ a backslash, and \u000A and \u000D the two line ends that cannot stand there
//     themselves (an extension, for exports); any other backslash is an ordinary character, as it is outside quotes;
//   - an empty value, quoted or not, is null.
//
// Everything else is refused and fails the whole object: nothing is guessed, nothing skipped.

// CSVOptions says how one object is read.
type CSVOptions struct {
	Name     string                  // object name, for messages
	Workers  int                     // parsing goroutines; 0: one for each core
	Header   []string                // if set, the header must equal it: the other files of a folder
	Progress func(rows, bytes int64) // totals of this object, never called concurrently; may be nil
}

const (
	maxLine      = 1 << 20
	csvBlockSize = maxLine
)

// ReadCSV parses one CSV object in blocks of lines on several cores. emit(worker) is called once for each worker before anything is parsed and returns that
// worker's sink, which is called for each of its rows; the values and their strings are valid only during the call. Blocks are parsed in any order, but a
// block's rows keep theirs, and line is the physical line (the header is line 1), so a line number says where in the object a row stands.
//
// A row that does not conform fails the read with an *InputError; of several, the one with the smallest line number, whatever the workers' timing. A sink's
// error ends the read too. By then sinks have seen rows before and after that line.
func ReadCSV(ctx context.Context, r io.Reader, s *schema.Schema, o CSVOptions, emit func(worker int) func(line int64, v []schema.Value) error) (header []string, rows int64, err error) {
	return ReadBatches(ctx, r, s, o, func(worker int) Sink { return rowSink(emit(worker)) })
}

// Sink takes what one worker has parsed, at most BatchRows rows at a time.
type Sink interface {
	// Block begins the rows of a block, which stands at that offset of the object. The offsets that a worker sees only grow.
	Block(offset int64) error
	// Rows takes some rows of the block: their lines, and their values one row after the other. It returns how many it took before the error.
	// The values are valid only during the call.
	Rows(lines []int64, values []schema.Value) (n int, err error)
}

// rowSink takes one row at a time.
type rowSink func(line int64, v []schema.Value) error

func (rowSink) Block(int64) error { return nil }

func (f rowSink) Rows(lines []int64, values []schema.Value) (n int, err error) {
	fields := len(values) / len(lines)
	for i, line := range lines {
		if err := f(line, values[i*fields:(i+1)*fields]); err != nil {
			return i, err
		}
	}
	return len(lines), nil
}

// ReadBatches is ReadCSV for sinks that are quicker with many rows at once.
func ReadBatches(ctx context.Context, r io.Reader, s *schema.Schema, o CSVOptions, emit func(worker int) Sink) (header []string, rows int64, err error) {
	blocks := lineBlocks{r: r, line: 1}
	header, err = blocks.header(o.Name)
	if err != nil {
		return nil, 0, err
	}
	if o.Header != nil && !slices.Equal(header, o.Header) {
		return header, 0, &InputError{Reason: "Column headers do not match across input files.", File: o.Name, Cause: "The header of " + o.Name + " differs from that of the files before it"}
	}
	columns, err := matchColumns(s, header, o.Name)
	if err != nil {
		return header, 0, err
	}
	if o.Workers <= 0 {
		o.Workers = pace.Cores()
	}
	run := csvRun{name: o.Name, progress: o.Progress, free: make(chan []byte, o.Workers+2), full: make(chan lineBlock, o.Workers)}
	run.failedAt.Store(math.MaxInt64)
	for range cap(run.free) {
		run.free <- nil // allocated when first used: small objects need one buffer
	}
	var workers sync.WaitGroup
	for w := range o.Workers {
		p := newCSVParser(columns, len(s.Fields))
		sink := emit(w)
		workers.Go(func() { run.parse(p, sink, pace.Process.Worker(o.Workers)) })
	}
	run.read(ctx, &blocks)
	workers.Wait()
	if run.err != nil {
		return header, 0, run.err
	}
	return header, run.rows, nil
}

// csvRun is what the goroutines of one ReadCSV share.
type csvRun struct {
	name string
	free chan []byte    // buffers to read into
	full chan lineBlock // blocks to parse, in file order

	failedAt atomic.Int64 // line of the earliest failure so far: nothing after it matters any more

	mu       sync.Mutex
	err      error // the failure at failedAt
	rows     int64
	bytes    int64
	progress func(rows, bytes int64)
}

// read hands out blocks until the end of the object, a failure or the end of ctx.
func (run *csvRun) read(ctx context.Context, blocks *lineBlocks) {
	defer close(run.full)
	for run.failedAt.Load() == math.MaxInt64 {
		if err := ctx.Err(); err != nil {
			run.fail(0, err)
			return
		}
		block, err := blocks.next(<-run.free)
		if err == io.EOF {
			return
		}
		if err == errLongLine {
			run.fail(blocks.line, &InputError{Reason: reasonNotConforming, File: run.name, Line: blocks.line, Cause: "The line is longer than 1 MiB"})
			return
		}
		if err != nil {
			run.fail(blocks.line, fmt.Errorf("read %s: %w", run.name, err))
			return
		}
		run.full <- block
	}
}

// parse is a worker. Because blocks are handed out in file order, every block before the one that fails is already with a worker, and is parsed to its end
// or to its own, earlier failure: that makes the smallest line win always.
func (run *csvRun) parse(p *csvParser, sink Sink, budget *pace.Worker) {
	for block := range run.full {
		budget.Start()
		if block.line < run.failedAt.Load() {
			rows, line := int64(0), block.line
			err := sink.Block(block.offset)
			if err == nil {
				rows, line, err = p.block(run.name, block, sink)
			}
			if err != nil {
				run.fail(line, err)
			}
			run.count(rows, int64(block.size))
		}
		run.free <- block.data[:0]
		budget.Step()
	}
}

func (run *csvRun) fail(line int64, err error) {
	run.mu.Lock()
	defer run.mu.Unlock()
	if line < run.failedAt.Load() {
		run.failedAt.Store(line)
		run.err = err
	}
}

func (run *csvRun) count(rows, bytes int64) {
	run.mu.Lock()
	defer run.mu.Unlock()
	run.rows += rows
	run.bytes += bytes
	if run.progress != nil {
		run.progress(run.rows, run.bytes)
	}
}

// lineBlocks cuts a stream into blocks of whole lines.
type lineBlocks struct {
	r     io.Reader
	line  int64  // number of the next line
	at    int64  // offset of the next block
	carry []byte // read, not yet handed out
	spare []byte // the buffer that the header was read into
	ended bool   // r has nothing more
}

type lineBlock struct {
	data   []byte // whole lines; only the last of the object may lack its line end
	line   int64  // number of the first line
	offset int64  // of the first byte
	size   int
}

var errLongLine = fmt.Errorf("line longer than %d bytes", maxLine)

// next reads a block into buf, or a new buffer if buf has no room. It returns io.EOF after the last.
func (b *lineBlocks) next(buf []byte) (lineBlock, error) {
	if b.ended && len(b.carry) == 0 {
		return lineBlock{}, io.EOF
	}
	if cap(buf) < csvBlockSize {
		buf, b.spare = b.spare, nil
	}
	if buf == nil {
		buf = make([]byte, csvBlockSize)
	}
	buf = buf[:csvBlockSize]
	n := copy(buf, b.carry)
	if !b.ended {
		m, err := io.ReadFull(b.r, buf[n:])
		n += m
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			b.ended = true
		} else if err != nil {
			return lineBlock{}, err
		}
	}
	b.carry = b.carry[:0]
	if n == 0 {
		return lineBlock{}, io.EOF
	}
	cut := n
	if !b.ended {
		cut = bytes.LastIndexByte(buf[:n], '\n') + 1
		if cut == 0 {
			return lineBlock{}, errLongLine
		}
		b.carry = append(b.carry, buf[cut:n]...)
	}
	block := lineBlock{data: buf[:cut], line: b.line, offset: b.at, size: cut}
	b.at += int64(cut)
	b.line += int64(bytes.Count(block.data, []byte{'\n'}))
	return block, nil
}

// header reads the first line and leaves the rest of what it read to next.
func (b *lineBlocks) header(name string) ([]string, error) {
	block, err := b.next(nil)
	if err == io.EOF {
		return nil, &InputError{Reason: "The specified Amazon S3 location does not contain any CSV files.", File: name, Cause: "Object " + name + " is empty"}
	}
	if err == errLongLine {
		return nil, &InputError{Reason: reasonNotConforming, File: name, Line: 1, Cause: "The line is longer than 1 MiB"}
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	data := bytes.TrimPrefix(block.data, []byte("\ufeff"))
	line, rest, _ := bytes.Cut(data, []byte{'\n'})
	line = bytes.TrimSuffix(line, []byte{'\r'})
	b.carry = append(slices.Clone(rest), b.carry...)
	b.at -= int64(len(rest))
	b.line = 2
	b.spare = block.data[:0]

	var names []string
	p := newCSVParser(nil, 0)
	p.strict = true
	fault := p.split(line, func(_ int, cell []byte) faultKind {
		names = append(names, string(cell))
		return noFault
	})
	if fault != noFault {
		return nil, &InputError{Reason: reasonNotConforming, File: name, Line: 1, Cause: fault.cause(Rule{})}
	}
	return names, nil
}

// matchColumns finds a column for every field of the schema: by its exact name or else by its name in another case. Columns that match no field are ignored.
func matchColumns(s *schema.Schema, header []string, file string) ([]Rule, error) {
	columns := make([]Rule, len(header))
	for i, name := range header {
		columns[i] = Rule{name: name, field: -1}
	}
	var missing []string
	for i, f := range s.Fields {
		named := func(name string) bool { return name == f.Name }
		if !slices.ContainsFunc(header, named) {
			named = func(name string) bool { return strings.EqualFold(name, f.Name) }
		}
		at := slices.IndexFunc(header, named)
		if at < 0 {
			missing = append(missing, f.Name)
			continue
		}
		if slices.ContainsFunc(header[at+1:], named) {
			return nil, &InputError{Reason: reasonNotConforming, File: file, Line: 1, Column: f.Name, Cause: "The header names the column twice"}
		}
		columns[at] = RuleOf(s, i)
	}
	if missing != nil {
		return nil, &InputError{Reason: "Input CSV is missing the following columns:[" + strings.Join(missing, ", ") + "].", File: file}
	}
	return columns, nil
}

// block parses the lines of a block. The line is that of the error.
func (p *csvParser) block(name string, b lineBlock, sink Sink) (rows, line int64, err error) {
	data, line := b.data, b.line
	suspect := !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0
	returns := bytes.IndexByte(data, '\r') >= 0
	quotes := bytes.IndexByte(data, '"') >= 0
	p.scratch = p.scratch[:0]
	p.lines = p.lines[:0]
	plain := !suspect && !returns && !quotes
	for ; len(data) > 0; line++ {
		p.values = p.batch[len(p.lines)*p.fields:][:p.fields]
		if plain && data[0] != '\n' {
			if rest := p.plainLine(data); rest != nil {
				data = rest
				if err := p.took(line, sink, &rows); err != nil {
					return rows, p.failed, err
				}
				continue
			}
		}
		record := data
		if n := bytes.IndexByte(data, '\n'); n >= 0 {
			record, data = data[:n], data[n+1:]
		} else {
			data = nil
		}
		p.strict = suspect
		if returns {
			record = bytes.TrimSuffix(record, []byte{'\r'})
			p.strict = suspect || bytes.IndexByte(record, '\r') >= 0
		}
		if len(record) == 0 {
			continue
		}
		var fault faultKind
		var at int
		if p.strict || quotes && bytes.IndexByte(record, '"') >= 0 || p.plainLine(record) == nil {
			at, fault = p.record(record)
		}
		if fault != noFault {
			if err := p.flush(sink, &rows); err != nil {
				return rows, p.failed, err
			}
			return rows, line, p.failure(name, line, record, at, fault)
		}
		if err := p.took(line, sink, &rows); err != nil {
			return rows, p.failed, err
		}
	}
	err = p.flush(sink, &rows)
	return rows, p.failed, err
}

// took adds the row that has been parsed to the batch.
func (p *csvParser) took(line int64, sink Sink, rows *int64) error {
	p.lines = append(p.lines, line)
	if len(p.lines) < cap(p.lines) {
		return nil
	}
	return p.flush(sink, rows)
}

// flush hands over the rows of the batch and adds their number to rows. After an error failed is the line of the row that the sink did not take.
func (p *csvParser) flush(sink Sink, rows *int64) error {
	if len(p.lines) == 0 {
		return nil
	}
	n, err := sink.Rows(p.lines, p.batch[:len(p.lines)*p.fields])
	*rows += int64(n)
	if err != nil {
		p.failed = p.lines[n]
		return err
	}
	p.lines = p.lines[:0]
	return nil
}
