package gateway

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestABodyThatEndsEarlyIsNoWholeOne(t *testing.T) {
	length := int64(4)
	for text, want := range map[string]error{"": io.ErrUnexpectedEOF, "abc": io.ErrUnexpectedEOF, "abcd": nil} {
		if got, err := io.ReadAll(whole(strings.NewReader(text), &length)); !errors.Is(err, want) || string(got) != text {
			t.Errorf("%q of %d bytes is read as %q, %v", text, length, got, err)
		}
	}
	if _, err := io.ReadAll(whole(strings.NewReader("any"), nil)); err != nil {
		t.Errorf("a body of no stated length: %v", err)
	}
}
