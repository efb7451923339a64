package dataset

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The plain twin is a map.
func TestNamesGiveTheCodesThatAMapGives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, twin := newNames(), map[string]int32{}
		word := rapid.OneOf(rapid.StringN(0, 20, 40), rapid.Custom(func(t *rapid.T) string {
			return strings.Repeat("a", rapid.IntRange(0, 20).Draw(t, "a")) + strings.Repeat("\x00", rapid.IntRange(0, 3).Draw(t, "nul")) + strings.Repeat("b", rapid.IntRange(0, 20).Draw(t, "b"))
		}))
		for range rapid.IntRange(1, 5).Draw(t, "pages") {
			page := rapid.SliceOf(word).Draw(t, "page")
			for i, code := range n.all(nil, page) {
				want, ok := twin[page[i]]
				if !ok {
					want = int32(len(twin))
					twin[page[i]] = want
				}
				if code != want || n.list[code] != page[i] || n.code(page[i]) != want {
					t.Fatalf("%q has code %d, want %d", page[i], code, want)
				}
			}
		}
	})
}

func TestNamesGrow(t *testing.T) {
	n := newNames()
	for i := range 100_000 {
		if code := n.code(fmt.Sprint("item-", i)); code != int32(i) {
			t.Fatal(i, code)
		}
	}
	for i := range 100_000 {
		if code := n.code(fmt.Sprint("item-", i)); code != int32(i) {
			t.Fatal(i, code)
		}
	}
}
