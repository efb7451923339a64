package shop

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// Data is a generated shop: users of a few tastes, items of the same tastes, events in order of time. The same arguments give the same data.
type Data struct {
	Users        []string
	Interactions [][]string // with header
	Items        [][]string
	Profiles     [][]string
}

// Generate makes a shop. Everybody has two events, then some have many.
func Generate(users, items, events int, seed uint64) Data {
	const tastes = 4
	r := rand.New(rand.NewPCG(seed, 1))
	d := Data{
		Interactions: [][]string{{"USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE", "EVENT_VALUE"}},
		Items:        [][]string{{"ITEM_ID", "TITLE", "GENRES", "PRICE"}},
		Profiles:     [][]string{{"USER_ID", "TIER"}},
	}
	for u := range users {
		id := fmt.Sprintf("canary-user-%04d-%08x", u, r.Uint32())
		d.Users = append(d.Users, id)
		d.Profiles = append(d.Profiles, []string{id, []string{"gold", "silver"}[u%2]})
	}
	for i := range items {
		d.Items = append(d.Items, []string{fmt.Sprintf("item-%04d", i), fmt.Sprintf("The \"%d\"th, of its kind", i), fmt.Sprintf("taste-%d|all", i%tastes), fmt.Sprint(float64(i) + 0.99)})
	}
	for e := range events {
		u := e % users
		if e >= 2*users { // everybody has two events, then some have many
			u = int(float64(users) * r.Float64() * r.Float64())
		}
		i := int(float64(items) * r.Float64() * r.Float64())
		if r.IntN(10) > 0 {
			i = i/tastes*tastes + u%tastes
		}
		value := ""
		if r.IntN(3) > 0 {
			value = fmt.Sprint(1 + r.IntN(5))
		}
		d.Interactions = append(d.Interactions, []string{d.Users[u], fmt.Sprintf("item-%04d", min(i, items-1)), fmt.Sprint(1_700_000_000 + 60*e), "view", value})
	}
	return d
}

// Without drops the rows of some users.
func Without(rows [][]string, users ...string) [][]string {
	return slices.DeleteFunc(slices.Clone(rows), func(row []string) bool { return slices.Contains(users, row[0]) })
}

// ToCSV writes rows for an import: quotes doubled, as most programs do, and backslashes too, because in a quoted value they escape.
func ToCSV(rows [][]string) string {
	escape := strings.NewReplacer(`"`, `""`, `\`, `\\`, "\n", `\u000A`)
	var b strings.Builder
	for _, row := range rows {
		for i, value := range row {
			if i > 0 {
				b.WriteByte(',')
			}
			if strings.ContainsAny(value, "\",\\\n") {
				value = `"` + escape.Replace(value) + `"`
			}
			b.WriteString(value)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// FromCSV reads exported files, whose headers must be the same. Quotes, backslashes and line ends are escaped there by a backslash.
func FromCSV(t testing.TB, texts []string) (rows [][]string) {
	t.Helper()
	for n, text := range texts {
		for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
			row := fields(t, line)
			if n == 0 || i > 0 {
				rows = append(rows, row)
			} else if !slices.Equal(row, rows[0]) {
				t.Fatalf("part %d of an export has the header %v, the first one %v", n, row, rows[0])
			}
		}
	}
	return rows
}

var escapes = strings.NewReplacer(`\"`, `"`, `\\`, `\`, `\u000A`, "\n", `\u000D`, "\r")

// fields splits one line.
func fields(t testing.TB, line string) (row []string) {
	t.Helper()
	for {
		end := strings.IndexByte(line, ',')
		quoted := strings.HasPrefix(line, `"`)
		if quoted {
			for end = 1; end < len(line) && line[end] != '"'; end++ {
				if line[end] == '\\' {
					end++
				}
			}
			end++
		} else if end < 0 {
			end = len(line)
		}
		if end > len(line) {
			t.Fatalf("a quoted value is not closed: %q", line)
		}
		value := line[:end]
		if quoted {
			value = escapes.Replace(value[1 : end-1])
		}
		row = append(row, value)
		if end == len(line) {
			return row
		}
		if line[end] != ',' {
			t.Fatalf("no comma after a quoted value: %q", line)
		}
		line = line[end+1:]
	}
}

// Lines makes rows comparable as a multiset; the header stays first.
func Lines(rows [][]string) []string {
	out := make([]string, len(rows))
	for i, row := range rows {
		out[i] = strings.Join(row, " ¦ ")
	}
	slices.Sort(out[1:])
	return out
}
