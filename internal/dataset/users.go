package dataset

import (
	"context"
	"errors"
	"io"
	"iter"
)

// UserSet is a sorted, exact, immutable set of user ids.
type UserSet struct{}

// NewUserSet makes a set.
func NewUserSet(ids []string) *UserSet { return &UserSet{} }

// Has reports membership.
func (u *UserSet) Has(id string) bool { return false }

// Len returns the number of ids.
func (u *UserSet) Len() int { return 0 }

// All yields the ids in order.
func (u *UserSet) All() iter.Seq[string] { return func(func(string) bool) {} }

// AppendBinary appends the set's serial form.
func (u *UserSet) AppendBinary(dst []byte) ([]byte, error) {
	return dst, errors.New("AppendBinary: not built yet")
}

// ReadUserSet reads what AppendBinary wrote.
func ReadUserSet(r io.Reader) (*UserSet, error) { return nil, errors.New("ReadUserSet: not built yet") }

// ReadUserList reads a deletion list.
func ReadUserList(ctx context.Context, name string, r io.Reader, add func(id string)) error {
	return errors.New("ReadUserList: not built yet")
}
