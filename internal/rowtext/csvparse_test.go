package rowtext

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestNextDelimiterFindsTheFirst(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		data := []byte(rapid.StringOfN(rapid.RuneFrom([]rune("ab,\n\u00ac\u008a-+.")), 0, 40, -1).Draw(rt, "data"))
		want := strings.IndexAny(string(data), ",\n")
		if want < 0 {
			want = len(data)
		}
		if got := nextDelimiter(data); got != want {
			rt.Fatalf("%q: %d, want %d", data, got, want)
		}
	})
	for a := range 256 { // every pair of bytes, as borrows run from one to the next
		for b := range 256 {
			data := append([]byte{byte(a), byte(b)}, "xxxxxxxxxx"...)
			want := len(data)
			for i, c := range data {
				if c == ',' || c == '\n' {
					want = i
					break
				}
			}
			if got := nextDelimiter(data); got != want {
				t.Fatalf("%q: %d, want %d", data, got, want)
			}
		}
	}
}
