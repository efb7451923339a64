package rowtext

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/palate-dev/palate/internal/schema"
)

// ReadUserList reads one object of a deletion job's input, in the dialect of imports: a single USER_ID column with its header, one id a line. Every id is
// given to add, duplicates too; it may be kept. The first fault ends the read with an *InputError; the caller must not have acted on any id before the whole
// input was read. Memory does not grow with the object.
func ReadUserList(ctx context.Context, name string, r io.Reader, add func(id string)) error {
	const reasonHeader = "Data deletion input must have a single USER_ID column."
	blocks := lineBlocks{r: r, line: 1}
	header, err := blocks.header(name)
	if fault := new(InputError); errors.As(err, &fault) && fault.Line == 0 { // an empty object
		return &InputError{Reason: reasonHeader, File: name}
	}
	if err != nil {
		return err
	}
	if len(header) != 1 || !strings.EqualFold(header[0], "USER_ID") {
		return &InputError{Reason: reasonHeader, File: name, Line: 1}
	}
	s := &schema.Schema{Type: schema.Users, Fields: []schema.Field{{Name: "USER_ID", Kind: schema.String}}}
	p := newCSVParser([]Rule{RuleOf(s, 0)}, 1)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		block, err := blocks.next(nil) // a fresh buffer: ids share its bytes
		if err == io.EOF {
			return nil
		}
		if err == errLongLine {
			return &InputError{Reason: reasonNotConforming, File: name, Line: blocks.line, Cause: "The line is longer than 1 MiB"}
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		_, line, err := p.block(name, block, rowSink(func(_ int64, v []schema.Value) error {
			p.scratch = nil // an id that was unescaped lies there
			add(v[0].Str)
			return nil
		}))
		if fault := new(InputError); errors.As(err, &fault) && fault.Column == "" {
			return &InputError{Reason: reasonHeader, File: name, Line: line}
		}
		if err != nil {
			return err
		}
	}
}
