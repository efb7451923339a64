package filter

import (
	"cmp"
	"math"
	"strconv"
	"testing"

	"github.com/palate-dev/palate/internal/schema"
)

// TestQuantitiesAreExact: integers of any length are in their order and come back as they were, and stand right among floats.
func TestQuantitiesAreExact(t *testing.T) {
	var all []int64
	for _, near := range []int64{0, 1 << 53, 1 << 60, 1_700_000_000_000_000_000, math.MaxInt64 - 1100, math.MaxInt64 - 3} {
		for _, off := range []int64{-513, -512, -257, -1, 0, 1, 2, 3} {
			all = append(all, near+off, -near-off)
		}
	}
	all = append(all, math.MaxInt64, math.MinInt64, math.MinInt64+1, math.MaxInt64-511, math.MaxInt64-512, math.MaxInt64-513)
	for _, a := range all {
		for _, b := range all {
			if got := whole(a).compare(whole(b)); got != cmp.Compare(a, b) {
				t.Errorf("%d and %d compare as %d", a, b, got)
			}
		}
		text := strconv.FormatInt(a, 10)
		if q, ok := parseNumber(schema.Long, text); !ok || q != whole(a) {
			t.Errorf("%s is read as %+v", text, q)
		}
		if q := whole(a); q.rest != 0 && q.String() != text {
			t.Errorf("%d is written as %s", a, q)
		}
	}
	if q, ok := parseNumber(schema.Float, "1000000000000000003"); !ok || q != (quantity{near: 1e18}) {
		t.Errorf("a float is compared with %+v", q)
	}
	if whole(1e18+3).compare(quantity{near: 1e18}) <= 0 || whole(1e18-3).compare(quantity{near: 1e18}) >= 0 || whole(1e18).compare(quantity{near: 1e18}) != 0 {
		t.Error("an integer is not where it belongs among floats")
	}
}
