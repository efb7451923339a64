package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Time is a timestamp of the wire: written as a number of epoch seconds with milliseconds, read from such a number or from an ISO-8601
// string. It holds whole milliseconds, so what is read back equals what was written. The zero Time is absent.
type Time struct{ time.Time }

// NewTime returns t in UTC and whole milliseconds.
func NewTime(t time.Time) Time {
	if t.IsZero() {
		return Time{}
	}
	return Time{t.UTC().Truncate(time.Millisecond)}
}

// MarshalJSON writes epoch seconds: 1542392161.262.
func (t Time) MarshalJSON() ([]byte, error) {
	ms := t.UnixMilli()
	sign := ""
	if ms < 0 {
		sign, ms = "-", -ms
	}
	return fmt.Appendf(nil, "%s%d.%03d", sign, ms/1000, ms%1000), nil
}

// UnmarshalJSON reads a number or a string.
func (t *Time) UnmarshalJSON(text []byte) error {
	if bytes.Equal(text, []byte("null")) {
		return nil
	}
	var err error
	if len(text) > 0 && text[0] == '"' {
		var s string
		if err = json.Unmarshal(text, &s); err == nil {
			*t, err = parseISO(s)
		}
	} else {
		*t, err = parseEpoch(string(text))
	}
	return err
}

// The years 1 to 9999 in epoch seconds: what both forms of a timestamp can say.
const (
	minEpoch = -62135596800
	maxEpoch = 253402300799
)

func parseEpoch(text string) (Time, error) {
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || !(seconds >= minEpoch && seconds <= maxEpoch) {
		return Time{}, fmt.Errorf("%q is not a timestamp", text)
	}
	return NewTime(time.UnixMilli(int64(math.Round(seconds * 1000)))), nil
}

// isoLayouts are the forms that clients are known to send; Go reads a fraction of a second after any of them.
var isoLayouts = [...]string{time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05", "2006-01-02"}

func parseISO(text string) (Time, error) {
	for _, layout := range isoLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			return NewTime(t), nil
		}
	}
	return Time{}, fmt.Errorf("%q is not a timestamp", text)
}
