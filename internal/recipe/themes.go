package recipe

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Themer names what the items of a list have in common, by the levels and words that are frequent among them and rare among all. No language model is behind
// it: a theme is made of the items' own categories and words.
type Themer struct {
	model *Model
	row   []int32           // of each item in the attributes, -1 for none
	name  map[string]string // of items, by id
	have  map[term]int      // items that have a term
	items int               // that have a name or attributes
}

// term is a level of a categorical column, or a word in lower case.
type term struct {
	column int // wordColumn for words
	text   string
}

const wordColumn = -1

// Theme is a phrase, and what of a list it says, the most fitting first.
type Theme struct {
	Phrase    string
	Items     []string
	Relevance []float64 // cosine of the theme's terms and each item's, 0 to 1
}

const (
	themeLevels = 2
	themeWords  = 2
	shortWord   = 3 // runes of a word from which it may stand in a theme
)

// Themes prepares themes for answers of the model, which must have been trained on Items. names are those of its items; they end up in no answer as they are.
func (m *Model) Themes(names map[string]string) *Themer {
	t := &Themer{model: m, row: listedRows(m.shown), name: names, have: map[term]int{}}
	for i := range m.items {
		terms := t.terms(int32(i))
		for _, has := range terms {
			t.have[has]++
		}
		if len(terms) > 0 {
			t.items++
		}
	}
	return t
}

// terms are those of an item, each once, in order.
func (t *Themer) terms(item int32) []term {
	var list []term
	word := func(w string) {
		if utf8.RuneCountInString(w) >= shortWord && strings.ContainsFunc(w, unicode.IsLetter) {
			list = append(list, term{wordColumn, strings.Clone(w)})
		}
	}
	words(plainText(t.name[t.model.items[item]]), word)
	if r := t.row[item]; r >= 0 && t.model.itemRows != nil {
		for n := range t.model.itemRows.Columns {
			switch c := &t.model.itemRows.Columns[n]; c.Kind {
			case Levels:
				for _, l := range c.Of(int(r)) {
					list = append(list, term{n, strings.Clone(c.Level[l])})
				}
			case Text:
				words(c.Text[r], word)
			}
		}
	}
	slices.SortFunc(list, compareTerms)
	return slices.Compact(list)
}

func compareTerms(a, b term) int {
	return cmp.Or(cmp.Compare(a.column, b.column), cmp.Compare(a.text, b.text))
}

// rarity is the inverse document frequency of a term.
func (t *Themer) rarity(of term) float64 {
	return math.Log(float64(t.items+1) / (float64(t.have[of]) + 0.5))
}

// Of finds the theme of a list of items of the model.
func (t *Themer) Of(items []string) Theme {
	terms := make([][]term, len(items))
	count := map[term]int{}
	for k, id := range items {
		if i, ok := t.model.Code(id); ok {
			terms[k] = t.terms(int32(i))
		}
		for _, has := range terms[k] {
			count[has]++
		}
	}
	theme := slices.Concat(t.best(count, len(items), themeLevels, func(of term) bool { return of.column != wordColumn }),
		t.best(count, len(items), themeWords, func(of term) bool { return of.column == wordColumn }))
	out := Theme{Phrase: phrase(theme)}
	type fitting struct {
		item      string
		relevance float64
	}
	list := make([]fitting, len(items))
	for k, id := range items {
		list[k] = fitting{id, t.cosine(theme, terms[k])}
	}
	slices.SortStableFunc(list, func(a, b fitting) int { return cmp.Compare(b.relevance, a.relevance) })
	for _, f := range list {
		out.Items = append(out.Items, f.item)
		out.Relevance = append(out.Relevance, round7(f.relevance))
	}
	return out
}

// best are the n terms that say most about a list: with p the share of the list that has a term and q that of all items, those with the greatest p·log(p/q).
// Terms that half of the list have are taken; if there are none, the best one that several items have.
func (t *Themer) best(count map[term]int, items, n int, accept func(term) bool) []term {
	type saying struct {
		term
		says float64
	}
	var list []saying
	frequent := min(2, items)
	for of, in := range count {
		if accept(of) && 2*in >= items {
			frequent = max(frequent, (items+1)/2)
		}
	}
	for of, in := range count {
		if accept(of) && in >= frequent {
			p, q := float64(in)/float64(items), float64(t.have[of])/float64(t.items)
			list = append(list, saying{of, p * math.Log(p/q)})
		}
	}
	slices.SortFunc(list, func(a, b saying) int {
		return cmp.Or(cmp.Compare(b.says, a.says), cmp.Compare(count[b.term], count[a.term]), compareTerms(a.term, b.term))
	})
	var out []term
	for _, s := range list {
		if len(out) == 0 || len(out) < n && s.says > 0 && 2*count[s.term] >= items {
			out = append(out, s.term)
		}
	}
	return out
}

// cosine of a theme and an item, both sets of terms weighted by rarity.
func (t *Themer) cosine(theme, item []term) float64 {
	square := func(of []term) (sum float64) {
		for _, one := range of {
			sum += t.rarity(one) * t.rarity(one)
		}
		return sum
	}
	var common []term
	for _, of := range theme {
		if slices.Contains(item, of) {
			common = append(common, of)
		}
	}
	if len(common) == 0 {
		return 0
	}
	return min(1, square(common)/math.Sqrt(square(theme)*square(item)))
}

// phrase writes a theme in words: "Crime and Thriller: detective, murder".
func phrase(theme []term) string {
	var levels, said []string
	for _, of := range theme {
		if of.column == wordColumn {
			said = append(said, of.text)
		} else {
			levels = append(levels, of.text)
		}
	}
	about := strings.Join(said, ", ")
	switch {
	case len(levels) == 0 && about == "":
		return "Similar items"
	case len(levels) == 0:
		first, size := utf8.DecodeRuneInString(about)
		return string(unicode.ToUpper(first)) + about[size:]
	case about == "":
		return strings.Join(levels, " and ")
	}
	return strings.Join(levels, " and ") + ": " + about
}
