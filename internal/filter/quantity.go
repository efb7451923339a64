package filter

import (
	"cmp"
	"math"
	"strconv"

	"github.com/palate-dev/palate/internal/schema"
)

// A quantity is a number as it is, however long: its nearest float64, and of an integer beyond 2^53 what that lacks or has too much.
type quantity struct {
	near float64
	rest int16
}

// whole is an integer.
func whole(n int64) quantity {
	near := float64(n)
	if near == 1<<63 { // which no int64 is
		return quantity{near, int16(n - math.MaxInt64 - 1)}
	}
	return quantity{near, int16(n - int64(near))}
}

// number is the value of a numeric field.
func number(k schema.Kind, v schema.Value) quantity {
	if k == schema.Int || k == schema.Long {
		return whole(v.Int)
	}
	return quantity{near: v.Float}
}

// parseNumber reads a number as isNumber knows it, for a field of the kind: one of floats is compared with the nearest float.
func parseNumber(k schema.Kind, text string) (quantity, bool) {
	if !isNumber(text) {
		return quantity{}, false
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && (k == schema.Int || k == schema.Long) {
		return whole(n), true
	}
	x, err := strconv.ParseFloat(text, 64)
	return quantity{near: x}, err == nil
}

func (q quantity) compare(other quantity) int {
	return cmp.Or(cmp.Compare(q.near, other.near), cmp.Compare(q.rest, other.rest))
}

func (q quantity) String() string {
	if q.rest == 0 {
		return strconv.FormatFloat(q.near, 'g', -1, 64)
	}
	if q.near == 1<<63 {
		return strconv.FormatInt(math.MaxInt64+(1+int64(q.rest)), 10)
	}
	return strconv.FormatInt(int64(q.near)+int64(q.rest), 10)
}
