package recipe

import (
	"slices"
	"strings"
	"testing"
)

func TestMarkupIsRemovedFromTexts(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "",
		"plain":                               "plain",
		"<p>One<br/>two</p>":                  "One two",
		"a <b class=\"x\">bold</b>\n\n\tword": "a bold word",
		"salt&nbsp;&amp;&#32;pepper":          "salt pepper",
		"1 < 2 & 3 > 2":                       "1 < 2 & 3 > 2",
		"x<y and R&D;":                        "x<y and R ",
		"<!-- a > b -->shown":                 "shown",
		"<?xml version=\"1.0\"?><a>b</a>":     "b",
		"an <open tag":                        "an <open tag",
		"&&amp":                               "&&amp",
		"nul\x00\u0085here":                   "nul here",
		" \r\n ":                              "",
		"<not <b>closed":                      "<not closed",
	} {
		if got := plainText(text); got != strings.TrimSpace(want) {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

func TestWordsOfTexts(t *testing.T) {
	for text, want := range map[string]string{
		"":                         "",
		"The 2nd  MAN—or woman's?": "the 2nd man or woman's",
		"Été à l’île":              "été à l’île",
		"東京都 Tower":                "東京 京都 tower",
		"A東":                       "a 東",
		"東 京":                      "東 京",
		"...":                      "",
	} {
		var got []string
		words(text, func(w string) { got = append(got, w) })
		if !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%q has the words %q, want %q", text, got, want)
		}
	}
}

func FuzzTexts(f *testing.F) {
	for _, text := range []string{"<a>b&lt;", "&#1;\xff<", "東<", "<!-->"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		plain := plainText(text)
		if len(plain) > len(text) || plain != strings.Join(strings.Fields(plain), " ") {
			t.Errorf("%q became %q", text, plain)
		}
		words(plain, func(w string) {
			if w == "" {
				t.Error("an empty word")
			}
		})
	})
}
