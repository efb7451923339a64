package rowtext

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/palate-dev/palate/internal/schema"
)

// Object is one file of rows, as an import or a report reads it.
type Object interface {
	Name() string
	Size() int64
	Open(ctx context.Context) (io.ReadCloser, error)
}

// RowReport says what is wrong with the rows of an import that failed. It names files, lines, columns and kinds of faults, never a value.
type RowReport struct {
	Rows     int64         `json:"rows"`     // that were looked at
	Failed   int64         `json:"failed"`   // of them
	Complete bool          `json:"complete"` // every row was looked at
	Reasons  []ReasonCount `json:"reasons"`  // the most frequent first
	First    []RowFault    `json:"first"`    // in order of file and line
}

// ReasonCount is how many rows have one kind of fault in one column.
type ReasonCount struct {
	Column string `json:"column,omitempty"`
	Cause  string `json:"cause"`
	Rows   int64  `json:"rows"`
}

// RowFault is one row that does not conform.
type RowFault struct {
	File   string `json:"file"`
	Line   int64  `json:"line"`
	Column string `json:"column,omitempty"`
	Cause  string `json:"cause"`
}

// Bounds of a report: it must not cost what an import costs, nor grow with the faults.
const (
	reportedFaults  = 100
	reportedReasons = 50
	reportTime      = 2 * time.Minute
)

// Report reads the objects of an import that failed for a row once more, past every fault, and counts what is wrong. Only the first fault of a row counts. It ends
// early after two minutes, at a line longer than 1 MiB, or when an object cannot be read any more, and says so with Complete.
func Report(ctx context.Context, s *schema.Schema, objects []Object) *RowReport {
	ctx, stop := context.WithTimeout(ctx, reportTime)
	defer stop()
	c := &faultCounter{counts: make(map[ReasonCount]int64)}
	c.report.Complete = true
	for _, o := range objects {
		if err := c.object(ctx, s, o); err != nil {
			c.report.Complete = false
			break
		}
	}
	for r, n := range c.counts {
		r.Rows = n
		c.report.Reasons = append(c.report.Reasons, r)
	}
	slices.SortFunc(c.report.Reasons, func(a, b ReasonCount) int {
		return cmp.Or(cmp.Compare(b.Rows, a.Rows), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Cause, b.Cause))
	})
	return &c.report
}

type faultCounter struct {
	report RowReport
	counts map[ReasonCount]int64 // by reason, whose Rows is 0
}

func (c *faultCounter) object(ctx context.Context, s *schema.Schema, o Object) (err error) {
	r, err := o.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	blocks := lineBlocks{r: r, line: 1}
	header, err := blocks.header(o.Name())
	if err != nil {
		return err
	}
	columns, err := matchColumns(s, header, o.Name())
	if err != nil {
		return err
	}
	p := newCSVParser(columns, len(s.Fields))
	var buf []byte
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		block, err := blocks.next(buf)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", o.Name(), err)
		}
		if err := c.block(p, o.Name(), block); err != nil {
			return err
		}
		buf = block.data[:0]
	}
}

// block parses a block from fault to fault.
func (c *faultCounter) block(p *csvParser, name string, b lineBlock) error {
	for {
		rows, line, err := p.block(name, b, rowSink(func(int64, []schema.Value) error { return nil }))
		c.report.Rows += rows
		fault := new(InputError)
		switch {
		case err == nil:
			return nil
		case !errors.As(err, &fault):
			return err
		}
		c.report.Rows++
		c.note(fault)
		for ; b.line <= line; b.line++ { // go on behind the line
			n := bytes.IndexByte(b.data, '\n')
			if n < 0 {
				return nil
			}
			b.data = b.data[n+1:]
		}
	}
}

func (c *faultCounter) note(e *InputError) {
	c.report.Failed++
	cause := e.Cause
	if cause == "" {
		cause = e.Reason
	}
	if len(c.report.First) < reportedFaults {
		c.report.First = append(c.report.First, RowFault{File: e.File, Line: e.Line, Column: e.Column, Cause: cause})
	}
	reason := ReasonCount{Column: e.Column, Cause: cause}
	if c.counts[reason] == 0 && len(c.counts) >= reportedReasons {
		reason = ReasonCount{Cause: "other"}
	}
	c.counts[reason]++
}
