package recipe

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestThemesSayWhatItemsHaveInCommon(t *testing.T) {
	d := Data{Events: makeEvents(walks(3, 200, 40, 10)), Items: films(t, 40, "unseen")}
	m, _ := trainOn(t, d, Config{Recipe: similarItems})
	names := map[string]string{}
	for n := range 40 {
		names[fmt.Sprintf("item-%04d", n)] = fmt.Sprintf("<i>Volcano</i> part %d", n%2)
	}
	themes := m.Themes(names)
	got := themes.Of([]string{"item-0025", "item-0012", "item-0013", "item-0014", "nobody knows"})
	if !strings.HasPrefix(got.Phrase, "genre-1") || !strings.Contains(got.Phrase, "number1") {
		t.Errorf("the theme is %q", got.Phrase)
	}
	if len(got.Items) != 5 || !slices.Contains(got.Items[3:], "nobody knows") || !slices.Contains(got.Items[3:], "item-0025") {
		t.Errorf("in order of the theme: %v", got.Items)
	}
	if !slices.IsSortedFunc(got.Relevance, func(a, b float64) int { return int(1e7 * (b - a)) }) || got.Relevance[0] <= 0 || got.Relevance[4] != 0 || got.Relevance[0] > 1 {
		t.Errorf("relevance %v", got.Relevance)
	}
	for _, list := range [][]string{nil, {"nobody knows"}} {
		if got := themes.Of(list); got.Phrase != "Similar items" || len(got.Items) != len(list) {
			t.Errorf("of %v: %+v", list, got)
		}
	}
	if a, b := themes.Of([]string{"item-0001"}), themes.Of([]string{"item-0001"}); a.Phrase != b.Phrase || a.Phrase == "" {
		t.Errorf("themes %q and %q of one item", a.Phrase, b.Phrase)
	}
	bare, _ := trainOn(t, Data{Events: d.Events}, Config{Recipe: similarItems})
	if got := bare.Themes(nil).Of([]string{"item-0001", "item-0002"}); got.Phrase != "Similar items" {
		t.Errorf("without attributes: %q", got.Phrase)
	}
}
