package filter_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/palate-dev/palate/internal/filter"
	"github.com/palate-dev/palate/internal/schema"
)

// row makes a record of group's schema of a type from NAME=value pairs; a value that is not a number is a string.
func row(t testing.TB, kind schema.Type, cells ...string) filter.Record {
	t.Helper()
	s := group()[kind]
	r := make(filter.Record, len(s.Fields))
	for _, cell := range cells {
		name, text, _ := strings.Cut(cell, "=")
		i := s.Match(name)
		if i < 0 {
			t.Fatalf("no field %s", name)
		}
		v := schema.Value{Valid: true}
		switch s.Fields[i].Kind {
		case schema.String:
			v.Str = text
		case schema.Int, schema.Long:
			fmt.Sscan(text, &v.Int)
		default:
			fmt.Sscan(text, &v.Float)
		}
		r[i] = v
	}
	return r
}

func bind(t testing.TB, expr string, values map[string]string) *filter.Bound {
	t.Helper()
	f, err := filter.Parse(expr)
	if err == nil {
		err = f.Check(group())
	}
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	b, err := f.Bind(group(), values)
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	return b
}

func TestFiltersKeepWhatTheySay(t *testing.T) {
	items := map[string]filter.Record{
		"a": row(t, schema.Items, "GENRE=horror|war", "CATEGORY=watch", "CATEGORY_L1=shoe", "CATEGORY_L2=boot", "PRICE=19.99", "YEAR=1970", "G=x|y", "CREATION_TIMESTAMP=5"),
		"b": row(t, schema.Items, "GENRE=comedy", "CATEGORY=Watch", "CATEGORY_L1=shoe", "CATEGORY_L2=sandal", "PRICE=5", "YEAR=1979", "G=x", "CREATION_TIMESTAMP=9"),
		"c": row(t, schema.Items, "YEAR=1980", "CREATION_TIMESTAMP=7"), // the rest is null
		"d": nil,                                                       // no record
	}
	events := map[string][]string{"a": {"click"}, "b": {"View", "watch"}, "d": {""}}
	old, young := row(t, schema.Users, "AGE=40", "TIER=gold", "MEMBERSHIP=basic|premium"), row(t, schema.Users, "AGE=17")
	like := row(t, schema.Items, "GENRE=war|art", "PRICE=19.99")
	for _, c := range []struct {
		expr   string
		values string // NAME=value;...
		user   filter.Record
		want   string
	}{
		// the valid examples of the specification
		{`EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("click", "stream")`, "", old, "bcd"},
		{`EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("CLICK", "view")`, "", old, "cd"},
		{`EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")`, "", old, "c"},
		{`EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN (*)`, "", old, "c"},
		{`INCLUDE ItemID WHERE Interactions.EVENT_TYPE NOT IN ("view")`, "", old, "abd"},
		{`INCLUDE ItemID WHERE Interactions.EVENT_TYPE = "watch" AND Interactions.EVENT_TYPE IN ("view")`, "", old, "b"},
		{`EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("click, rating")`, "", old, "abcd"},
		{`INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ($E)`, `E="WATCH","click"`, old, "ab"},
		{`INCLUDE ItemID WHERE Items.PRICE <= $PRICE`, "PRICE=19.99", old, "ab"},
		{`INCLUDE ItemID WHERE Items.PRICE <= $PRICE`, `PRICE="19.98"`, old, "b"},
		{`INCLUDE ItemID WHERE Items.YEAR >= 1970 AND Items.YEAR < 1980`, "", old, "ab"},
		{`INCLUDE ItemID WHERE Items.CREATION_TIMESTAMP < $DATE`, "DATE=9", old, "ac"},
		{`EXCLUDE ItemID WHERE Items.CATEGORY_L1 IN ("shoe") AND Items.CATEGORY_L2 NOT IN ("boot")`, "", old, "acd"},
		{`EXCLUDE ItemID WHERE Items.GENRE IN ($GENRE) IF CurrentUser.AGE = $AGE`, `GENRE="war";AGE=40`, old, "bcd"},
		{`EXCLUDE ItemID WHERE Items.GENRE IN ($GENRE) IF CurrentUser.AGE = $AGE`, `GENRE="war";AGE=40`, young, "abcd"},
		{`EXCLUDE ItemID WHERE Items.GENRE IN ($GENRE) IF CurrentUser.AGE = $AGE`, `GENRE="war"`, old, "abcd"}, // a value is missing
		{`INCLUDE ItemID WHERE Items.CATEGORY IN ("watch") IF CurrentUser.AGE > 18 AND CurrentUser.TIER IN ("gold")`, "", old, "a"},
		{`INCLUDE ItemID WHERE Items.CATEGORY IN ("watch") IF CurrentUser.AGE > 18 AND CurrentUser.TIER IN ("gold")`, "", young, "abcd"},
		{`INCLUDE ItemID WHERE Items.CATEGORY IN ("watch") IF CurrentUser.MEMBERSHIP = $PREMIUM`, `PREMIUM="premium"`, old, "a"},
		{`INCLUDE ItemID WHERE Items.PRICE < CurrentItem.PRICE AND Items.GENRE IN CurrentItem.GENRE`, "", old, ""},
		{`INCLUDE ItemID WHERE Items.PRICE <= CurrentItem.PRICE AND Items.GENRE IN CurrentItem.GENRE`, "", old, "a"},
		{`INCLUDE ItemID WHERE Items.PRICE < CurrentItem.YEAR`, "", old, ""},
		{`INCLUDE ItemID WHERE Items.PRICE != CurrentItem.YEAR`, "", old, "abcd"},
		{`INCLUDE ItemID WHERE Items.GENRE IN ($GENRE) | EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("watch")`, `GENRE="war","comedy"`, old, "a"},
		{`EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("watch") | INCLUDE ItemID WHERE Items.GENRE IN ($GENRE)`, `GENRE="war","comedy"`, old, "a"},
		// null and multi-valued fields
		{`INCLUDE ItemID WHERE Items.GENRE NOT IN ("war")`, "", old, "bcd"},
		{`INCLUDE ItemID WHERE Items.GENRE != "war"`, "", old, "bcd"},
		{`INCLUDE ItemID WHERE Items.GENRE = "war"`, "", old, "a"},
		{`INCLUDE ItemID WHERE Items.G IN ("y")`, "", old, "a"},
		{`INCLUDE ItemID WHERE Items.G IN ("x|y")`, "", old, "a"},
		{`INCLUDE ItemID WHERE Items.GENRE IN ("War", " war")`, "", old, ""},
		{`INCLUDE ItemID WHERE Items.YEAR NOT IN (1970, "1979")`, "", old, "cd"},
		{`INCLUDE ItemID WHERE Items.YEAR IN ($Y)`, "Y=1970, 1980", old, "ac"},
		{`INCLUDE ItemID WHERE Items.PRICE IN (19.99)`, "", old, "a"},
		// OR, and several expressions
		{`INCLUDE ItemID WHERE Items.YEAR = 1980 OR Items.YEAR = 1970 AND Items.PRICE > 100`, "", old, "c"},
		{`INCLUDE ItemID WHERE Items.YEAR = 1980 | INCLUDE ItemID WHERE Items.YEAR = 1970`, "", old, "ac"},
		{`INCLUDE ItemID WHERE Items.YEAR = 1980 IF CurrentUser.AGE < 18 | EXCLUDE ItemID WHERE Items.YEAR = 1970`, "", old, "bcd"},
		{`INCLUDE ItemID WHERE Items.YEAR = 1980 IF CurrentUser.AGE < 18 | EXCLUDE ItemID WHERE Items.YEAR = 1970`, "", young, "c"},
		{`EXCLUDE ItemID WHERE Items.YEAR = 1980 IF CurrentUser.TIER != "gold"`, "", nil, "abd"}, // of no record a field is null
	} {
		values := map[string]string{}
		for pair := range strings.SplitSeq(c.values, ";") {
			if name, value, ok := strings.Cut(pair, "="); ok {
				values[name] = value
			}
		}
		s := bind(t, c.expr, values).For(filter.Subject{User: c.user, Item: like})
		got := ""
		for _, id := range []string{"a", "b", "c", "d"} {
			if s.Keeps(filter.Candidate{Record: items[id], Types: events[id]}) {
				got += id
			}
		}
		if got != c.want {
			t.Errorf("%s with %s keeps %q, want %q", c.expr, c.values, got, c.want)
		}
	}
}

func TestFiltersOfUsersAndActions(t *testing.T) {
	user := row(t, schema.Users, "MEMBERSHIP_STATUS=gold", "Country=Japan購入")
	action := row(t, schema.Actions, "VALUE=7")
	for expr, want := range map[string]bool{
		`INCLUDE UserID WHERE Users.MEMBERSHIP_STATUS IN ("silver")`:                      false,
		`INCLUDE UserID WHERE Users.MEMBERSHIP_STATUS IN ("gold")`:                        true,
		`exclude UserId where users.country in ("England", "Japan購入")`:                    false,
		`INCLUDE UserID WHERE Interactions.EVENT_TYPE IN ("not_taken")`:                   false, // only types of actions are spelled in several ways
		`INCLUDE UserID WHERE Interactions.EVENT_TYPE IN ("not taken")`:                   true,
		`INCLUDE ActionID WHERE Actions.VALUE > 6`:                                        true,
		`EXCLUDE ActionID WHERE Action_Interactions.EVENT_TYPE IN ("NOT_TAKEN")`:          false,
		`EXCLUDE ActionID WHERE Action_Interactions.EVENT_TYPE NOT IN ("nottaken")`:       true,
		`INCLUDE ActionID WHERE Action_Interactions.EVENT_TYPE IN ("TAKEN", "not_taken")`: true,
	} {
		c := filter.Candidate{Record: user, Types: []string{"Not taken"}}
		if strings.Contains(expr, "Action") {
			c.Record = action
		}
		if got := bind(t, expr, nil).For(filter.Subject{Anonymous: true}).Keeps(c); got != want {
			t.Errorf("%s: %v, want %v", expr, got, want)
		}
	}
}

func TestAFilterOfAnAnonymousRequestSkipsWhatDependsOnTheUser(t *testing.T) {
	b := bind(t, `INCLUDE ItemID WHERE Items.YEAR = 1 IF CurrentUser.TIER != "gold"`, nil)
	c := filter.Candidate{Record: row(t, schema.Items, "YEAR=2")}
	if !b.For(filter.Subject{Anonymous: true}).Keeps(c) || b.For(filter.Subject{}).Keeps(c) {
		t.Error("IF holds for nobody")
	}
}

func TestValuesOfPlaceholders(t *testing.T) {
	for _, c := range []struct{ expr, name, value, want string }{
		{`INCLUDE ItemID WHERE Items.G IN ($V)`, "V", `"a\"b\\",  "c,d"`, ""},
		{`INCLUDE ItemID WHERE Items.G IN ($V)`, "V", `""`, ""},
		{`INCLUDE ItemID WHERE Items.G IN ($V)`, "v", `"a"`, "must have a value for V"},
		{`INCLUDE ItemID WHERE Items.G IN ($V)`, "V", ` `, "must have a value for V"},
		{`EXCLUDE ItemID WHERE Items.G IN ($V)`, "W", `"a"`, ""},
		{`INCLUDE ItemID WHERE Items.G IN ($V)`, "V", `"a`, "not closed"},
		{`INCLUDE ItemID WHERE Items.G IN ($V)`, "V", `"a" "b"`, "without a comma"},
		{`INCLUDE ItemID WHERE Items.G IN ($V)`, "V", `"a",`, "comma without a string"},
		{`INCLUDE ItemID WHERE Items.G IN ($V)`, "V", `"a",b`, "comma without a string"},
		{`INCLUDE ItemID WHERE Items.G IN ($V)`, "V", `a"b`, "quote in the middle"},
		{`INCLUDE ItemID WHERE Items.G = $V`, "V", `"a","b"`, "must have one value for V"},
		{`INCLUDE ItemID WHERE Items.YEAR < $V`, "V", `many`, "must have numbers for V"},
		{`INCLUDE ItemID WHERE Items.YEAR < $V`, "V", `1,2`, "must have numbers for V"},
		{`EXCLUDE ItemID WHERE Items.YEAR IN ($V)`, "V", `"1","x"`, "must have numbers for V"},
		{`EXCLUDE ItemID WHERE Items.YEAR IN ($V)`, "V", `Infinity`, "must have numbers for V"},
	} {
		f, err := filter.Parse(c.expr)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Bind(group(), map[string]string{c.name: c.value})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with %s: %v, want %q", c.expr, c.value, err, c.want)
		}
	}
	f, err := filter.Parse(`INCLUDE ItemID WHERE Items.G = "a" IF CurrentUser.AGE = 1`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Bind(nil, nil); err == nil || !strings.Contains(err.Error(), "does not have any more") {
		t.Errorf("a filter on a dataset that is gone: %v", err)
	}
}

func TestNarrowedSchemasHaveWhatTheFilterReads(t *testing.T) {
	f, err := filter.Parse(`INCLUDE ItemID WHERE items.genre IN ("a") OR Items.PRICE < CurrentItem.year IF CurrentUser.AGE > 1 | EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("a")`)
	if err != nil {
		t.Fatal(err)
	}
	narrow := f.Narrow(group())
	var got []string
	for _, t := range []schema.Type{schema.Items, schema.Users} {
		for _, field := range narrow[t].Fields {
			got = append(got, field.Name)
		}
	}
	if want := []string{"GENRE", "PRICE", "YEAR", "AGE"}; !slices.Equal(got, want) || len(narrow) != 2 {
		t.Errorf("fields %v, want %v", got, want)
	}
	b, err := f.Bind(narrow, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := b.For(filter.Subject{User: filter.Record{{Valid: true, Int: 2}}, Item: filter.Record{{}, {}, {Valid: true, Int: 3}}})
	if !s.Keeps(filter.Candidate{Record: filter.Record{{}, {Valid: true, Float: 2}}}) || s.Keeps(filter.Candidate{Record: filter.Record{{}, {Valid: true, Float: 4}}}) {
		t.Error("records of narrowed schemas are read wrong")
	}
	if !f.NeedsUser() || !f.ReadsEvents() {
		t.Error("needs of the filter")
	}
}

func TestRecentCountsByType(t *testing.T) {
	var events []filter.Event
	for n := range 5 {
		events = append(events, filter.Event{Of: fmt.Sprint("i", n), Type: "View"}, filter.Event{Of: fmt.Sprint("i", n), Type: "view"})
	}
	events = append(events, filter.Event{Of: "i0", Type: "Buy"})
	got := filter.Recent(filter.ItemID, events, 3)
	if fmt.Sprint(got) != "map[i0:[buy] i3:[view] i4:[view]]" {
		t.Errorf("%v", got)
	}
	if got := filter.Recent(filter.ItemID, events, 0); len(got) != 5 {
		t.Errorf("without a limit: %v", got)
	}
}

// TestWhatNoTestAsksForCanBeLeftOut: a filter keeps the same by all types of events and by those that its own Recent leaves.
func TestWhatNoTestAsksForCanBeLeftOut(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	left := 0
	for _, expr := range itemFilters {
		b := bind(t, expr, map[string]string{"PRICE": "7", "DATE": "9", "GENRE": `"war"`, "AGE": "40", "PREMIUM": "gold"})
		kept := b.For(filter.Subject{User: row(t, schema.Users, "AGE=40", "TIER=gold", "MEMBERSHIP=gold")})
		for range 20 {
			var events []filter.Event
			for range random.IntN(30) {
				events = append(events, filter.Event{Of: fmt.Sprint("i", random.IntN(6)), Type: []string{"View", "view", "buy", "Watch", "click", "stream"}[random.IntN(6)]})
			}
			most := random.IntN(4)
			all, asked := filter.Recent(filter.ItemID, events, most), b.Recent(filter.ItemID, events, most)
			for id := range all {
				if kept.Keeps(filter.Candidate{Types: all[id]}) != kept.Keeps(filter.Candidate{Types: asked[id]}) {
					t.Fatalf("%s of %v: by %v it is not what it is by %v", expr, events, asked[id], all[id])
				}
			}
			left += len(all) - len(asked)
		}
	}
	if left == 0 {
		t.Error("nothing was left out")
	}
}
