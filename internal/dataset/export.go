package dataset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/palate-dev/palate/internal/pace"
	"github.com/palate-dev/palate/internal/rowtext"
	"github.com/palate-dev/palate/internal/schema"
)

// Ingestion selects rows for an export by where they came from.
type Ingestion uint8

const (
	ExportBulk Ingestion = iota // BULK
	ExportPut                   // PUT
	ExportAll                   // ALL
)

// partBytes is the size at which an export begins another part.
const partBytes = 1 << 30

// Export writes the rows of a table as CSV. Of rows that are equal in all fields it writes one; of items, users and actions ALL writes only the newest
// record of each key. write is called once for each part, with a reader that it must read to the end; an empty selection has one part, with the header.
func (e *Engine) Export(ctx context.Context, t Table, mode Ingestion, progress func(rows int64), write func(part int, r io.Reader) error) (rows int64, err error) {
	state, err := e.find(t)
	if err != nil {
		return 0, err
	}
	ctx, stop := context.WithCancel(ctx)
	s := state.snapshot()
	x := &export{s: s, schema: t.Schema, sel: selection{bulk: mode != ExportPut, put: mode != ExportBulk, distinct: true}}
	if mode == ExportAll && !t.Schema.Type.IsLog() {
		x.sel.distinct, x.sel.newest = false, true
	}
	if x.mem, err = s.mem.blocks(s.layout); err != nil {
		stop()
		s.release()
		return 0, fmt.Errorf("export: %w", err)
	}
	x.buckets = s.buckets(x.mem)
	x.start(ctx)
	defer func() {
		stop()
		x.work.Wait()
		s.release()
	}()
	out := &partWriter{write: write, header: rowtext.AppendCSVHeader(nil, t.Schema)}
	for i := range x.buckets {
		for c := range x.chunks[i] {
			if err := out.add(c.data); err != nil {
				return 0, fmt.Errorf("export: %w", cmp.Or(out.abort(err), err))
			}
			if rows += int64(c.rows); progress != nil {
				progress(rows)
			}
		}
		if err := x.errs[i]; err != nil {
			out.abort(err)
			return 0, fmt.Errorf("export: %w", err)
		}
	}
	if err := out.close(); err != nil {
		return 0, fmt.Errorf("export: %w", err)
	}
	return rows, nil
}

// export encodes the buckets of a snapshot on all cores; the chunks of a bucket come out of its own channel, so that they can be written in order.
type export struct {
	s       *snapshot
	schema  *schema.Schema
	sel     selection
	mem     map[int]*block
	buckets []int
	chunks  []chan csvChunk
	errs    []error // set before the bucket's channel is closed
	work    sync.WaitGroup
}

type csvChunk struct {
	data []byte
	rows int
}

const (
	csvChunkBytes  = 256 << 10
	csvChunksAhead = 8 // chunks that a bucket may be ahead of the writer
)

func (x *export) start(ctx context.Context) {
	x.chunks, x.errs = make([]chan csvChunk, len(x.buckets)), make([]error, len(x.buckets))
	next := make(chan int, len(x.buckets))
	for i := range x.buckets {
		x.chunks[i] = make(chan csvChunk, csvChunksAhead)
		next <- i
	}
	close(next)
	workers := min(len(x.buckets), pace.Cores())
	for range workers {
		x.work.Go(func() {
			budget := pace.Process.Worker(workers)
			for i := range next { // in order: the bucket that the writer waits for always has a worker
				x.errs[i] = x.encode(ctx, i)
				budget.Step()
				close(x.chunks[i])
			}
		})
	}
}

func (x *export) encode(ctx context.Context, i int) error {
	fields := x.s.layout.fields(x.schema)
	var c csvChunk
	flush := func() error {
		select {
		case x.chunks[i] <- c:
			c = csvChunk{data: make([]byte, 0, csvChunkBytes+4096)}
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	err := x.s.eachRun(ctx, x.buckets[i], x.mem[x.buckets[i]], x.sel, func(b *block, from, to int) error {
		columns := b.csvColumns(fields, x.schema)
		for at := from; at < to; at++ {
			c.data = appendCSVRecord(c.data, columns, at)
			if c.rows++; len(c.data) >= csvChunkBytes {
				if err := flush(); err != nil {
					return err
				}
			}
		}
		return b.err
	})
	if err == nil && c.rows > 0 {
		err = flush()
	}
	return err
}

// partWriter feeds chunks of whole rows to the caller's write, one part after the other.
type partWriter struct {
	write  func(part int, r io.Reader) error
	header []byte
	part   int
	size   int
	pipe   *io.PipeWriter // nil between parts
	done   chan error
}

func (w *partWriter) add(rows []byte) error {
	if w.pipe != nil && w.size+len(rows) > partBytes {
		if err := w.end(nil); err != nil {
			return err
		}
	}
	if w.pipe == nil {
		if err := w.begin(); err != nil {
			return err
		}
	}
	w.size += len(rows)
	_, err := w.pipe.Write(rows)
	return err
}

func (w *partWriter) begin() error {
	r, pipe := io.Pipe()
	w.pipe, w.done, w.size = pipe, make(chan error, 1), 0
	part := w.part
	w.part++
	go func() {
		err := w.write(part, r)
		if err == nil {
			err = errUnread // seen only if something is still written
		}
		r.CloseWithError(err)
		if err == errUnread {
			err = nil
		}
		w.done <- err
	}()
	_, err := pipe.Write(w.header)
	return err
}

var errUnread = errors.New("the part was not read to its end")

// end finishes the current part: with nil, or so that its reader fails.
func (w *partWriter) end(err error) error {
	w.pipe.CloseWithError(err)
	w.pipe = nil
	return <-w.done
}

func (w *partWriter) close() error {
	if w.part == 0 {
		if err := w.begin(); err != nil {
			return cmp.Or(w.abort(err), err)
		}
	}
	if w.pipe == nil {
		return nil
	}
	return w.end(nil)
}

// abort makes the reader of the current part fail and returns the error of its write.
func (w *partWriter) abort(err error) error {
	if w.pipe == nil {
		return nil
	}
	return w.end(err)
}
