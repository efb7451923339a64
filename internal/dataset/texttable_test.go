package dataset

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/palate-dev/palate/internal/rowtext"
	"github.com/palate-dev/palate/internal/schema"
)

// drawTexts draws strings that repeat, share beginnings and are of all lengths that matter to a hash.
func drawTexts(t *rapid.T) []string {
	letters := rapid.StringOfN(rapid.RuneFrom([]rune("ab\x00é")), 0, 20, -1)
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string {
		return rapid.SampledFrom([]string{"", "item-", "a long beginning that all share-"}).Draw(t, "prefix") + letters.Draw(t, "rest")
	}), 1, 300).Draw(t, "texts")
}

func TestTextTableGivesEachStringItsOwnCode(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		table := newTextTable()
		for range 2 { // the second time in used memory
			want := make(map[string]uint32)
			texts := drawTexts(rt)
			for batch := range slices.Chunk(texts, rowtext.BatchRows) {
				got := make([]uint32, len(batch))
				table.codes(batch, got)
				for i, s := range batch {
					code, known := want[s]
					if !known {
						code = uint32(len(want))
						want[s] = code
					}
					if got[i] != code {
						rt.Fatalf("code of %q is %d, want %d", s, got[i], code)
					}
				}
			}
			for code, s := range table.strings(nil) {
				if want[s] != uint32(code) || table.at(uint32(code)) != s {
					rt.Fatalf("string %d is %q", code, s)
				}
			}
			if table.len() != len(want) {
				rt.Fatalf("%d strings, want %d", table.len(), len(want))
			}
			table.reset()
		}
	})
}

// The codes of a batch, with a budget that may end in the middle, must lead back to the strings.
func TestTextCodesLeadBackToTheirStrings(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var workers []*textCodes
		var texts [][]string
		var codes [][]uint32
		for range rapid.IntRange(1, 3).Draw(rt, "workers") {
			budget := rapid.SampledFrom([]int{0, 100, 1 << 20}).Draw(rt, "budget")
			c, all := newTextCodes(&budget), drawTexts(rt)
			got := make([]uint32, len(all))
			for at := 0; at < len(all); at += rowtext.BatchRows {
				batch := all[at:min(at+rowtext.BatchRows, len(all))]
				values := make([]schema.Value, 0, 2*len(batch))
				for _, s := range batch {
					values = append(values, schema.Value{Valid: s != "", Str: s}, schema.Value{})
				}
				c.codes(values, 2, got[at:at+len(batch)])
			}
			if c.table.len() > len(c.table.slots)/2 || budget < 0 {
				rt.Fatalf("%d strings in %d slots, %d bytes left", c.table.len(), len(c.table.slots), budget)
			}
			workers, texts, codes = append(workers, c), append(texts, all), append(codes, got)
		}
		dict, ranks := mergeCodes(workers)
		if !slices.IsSorted(dict) || len(slices.Compact(slices.Clone(dict))) != len(dict) {
			rt.Fatalf("dictionary is not in order: %q", dict)
		}
		for w, all := range texts {
			for i, s := range all {
				if code := codes[w][i]; code > 0 && dict[ranks[w][code-1]] != s {
					rt.Fatalf("worker %d: code %d of %q leads to %q", w, code, s, dict[ranks[w][code-1]])
				} else if code > 0 && s == "" {
					rt.Fatal("null has a code")
				}
			}
		}
	})
}

func TestSortedTextsSortsAsStringsCompare(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		texts := drawTexts(rt)
		var got []string
		for _, i := range sortedTexts(texts) {
			got = append(got, texts[i])
		}
		want := slices.Sorted(slices.Values(texts))
		if !slices.Equal(got, want) {
			rt.Fatalf("sorted %q\nwant   %q", got, want)
		}
	})
}

func TestSortPutsRowsInTheOrderOfCompareRows(t *testing.T) {
	var sorter rowSorter // its memory is used again and again
	rapid.Check(t, func(rt *rapid.T) {
		s := everyKind(rapid.SampledFrom([]schema.Type{schema.Interactions, schema.Users, schema.Items}).Draw(rt, "type"))
		w := newBuilder(testLayout(rt, s), Put)
		for i := range rapid.IntRange(1, 200).Draw(rt, "rows") {
			w.add(drawValues(rt, s), int64(1000-i), "", "")
		}
		want := make([]int32, w.b.n)
		for i := range want {
			want[i] = int32(i)
		}
		slices.SortFunc(want, func(x, y int32) int { return compareRows(w.b, int(x), w.b, int(y)) })
		if got := sorter.sort(w.b); !slices.Equal(got, want) {
			rt.Fatalf("order %v\nwant  %v", got, want)
		}
	})
}

// A column of strings that never repeat stops looking for them; one whose strings repeat does not, however many they are.
func TestTextCodesGiveUpOnStringsThatDoNotRepeat(t *testing.T) {
	for _, distinct := range []int{judgedAfter * 3 / 4, judgedAfter * 3} {
		budget := 1 << 30
		c := newTextCodes(&budget)
		var out [rowtext.BatchRows]uint32
		for at := 0; at < judgedAfter*2; at += rowtext.BatchRows {
			values := make([]schema.Value, rowtext.BatchRows)
			for i := range values {
				values[i] = schema.Value{Valid: true, Str: fmt.Sprint("text ", (at+i)%distinct)}
			}
			c.codes(values, 1, out[:])
			for i, v := range values {
				if out[i] > 0 && c.table.at(out[i]-1) != v.Str {
					t.Fatalf("%q has the code of %q", v.Str, c.table.at(out[i]-1))
				}
			}
		}
		if closed := c.state == codesClosed; closed != (distinct > judgedAfter*2) {
			t.Errorf("%d distinct strings of %d: state %d", distinct, judgedAfter*2, c.state)
		}
	}
}
