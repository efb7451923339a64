package filter_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/filter"
	"github.com/palate-dev/palate/internal/schema"
)

func explain(t testing.TB, expr string, values map[string]string, subject filter.Subject, c filter.Candidate) ([]filter.Verdict, bool) {
	t.Helper()
	f, err := filter.Parse(expr)
	if err != nil {
		t.Fatal(err)
	}
	return f.Explain(bind(t, expr, values), subject, c)
}

func TestExplanationsSayWhichRuleDropsAndWhy(t *testing.T) {
	item := filter.Candidate{Record: row(t, schema.Items, "GENRE=war|comedy", "PRICE=9.5"), Types: []string{"watch"}}
	user := filter.Subject{User: row(t, schema.Users, "AGE=12"), Item: row(t, schema.Items, "PRICE=20", "GENRE=a")}
	rules, keeps := explain(t, `EXCLUDE ItemID WHERE Items.GENRE IN ("war") AND Items.PRICE < CurrentItem.PRICE IF CurrentUser.AGE < 18`, nil, user, item)
	want := []filter.Verdict{{
		Rule: `EXCLUDE ItemID WHERE Items.GENRE IN ("war") AND Items.PRICE < CurrentItem.PRICE IF CurrentUser.AGE < 18`, Holds: true,
		Tests: [][]filter.Tested{{
			{Test: `Items.GENRE IN ("war")`, Found: []string{"war|comedy"}, Holds: true},
			{Test: `Items.PRICE < CurrentItem.PRICE`, Found: []string{"9.5"}, With: []string{"20"}, Holds: true},
		}},
		If: []filter.Tested{{Test: `CurrentUser.AGE < 18`, Found: []string{"12"}, Holds: true}},
	}}
	if diff := cmp.Diff(want, rules); diff != "" || keeps {
		t.Errorf("keeps %v: %s", keeps, diff)
	}
	rules, keeps = explain(t, `EXCLUDE ItemID WHERE Items.YEAR = $YEAR | EXCLUDE ItemID WHERE Items.PRICE > $PRICE IF CurrentUser.AGE > 40 | INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("buy")`,
		map[string]string{"PRICE": "5"}, user, item)
	want = []filter.Verdict{
		{Rule: `EXCLUDE ItemID WHERE Items.YEAR = $YEAR`, Skipped: "The request has no value for a placeholder of it."},
		{Rule: `EXCLUDE ItemID WHERE Items.PRICE > $PRICE IF CurrentUser.AGE > 40`, Skipped: "What IF asks for does not hold for the user.",
			If: []filter.Tested{{Test: `CurrentUser.AGE > 40`, Found: []string{"12"}}}},
		{Rule: `INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("buy")`, Tests: [][]filter.Tested{{{Test: `Interactions.EVENT_TYPE IN ("buy")`, Found: []string{"watch"}}}}},
	}
	if diff := cmp.Diff(want, rules); diff != "" || keeps {
		t.Errorf("keeps %v: %s", keeps, diff)
	}
}

// Whatever the filter and the candidate, an explanation comes to the verdict of the filter itself, rule by rule.
func TestExplanationsAgreeWithTheFilter(t *testing.T) {
	s := newShelf(61, everything)
	for range 200 {
		s.put(t)
	}
	values := map[string]string{"PRICE": "7", "DATE": "9", "GENRE": `"war","a"`, "AGE": "40", "PREMIUM": "gold"}
	users := []filter.Subject{{Anonymous: true}, {}, {User: row(t, schema.Users, "AGE=40", "TIER=gold", "MEMBERSHIP=gold")}}
	for _, expr := range itemFilters {
		f, err := filter.Parse(expr)
		if err != nil {
			t.Fatal(err)
		}
		b := bind(t, expr, values)
		for code, r := range s.records {
			subject := users[code%len(users)]
			subject.Item = s.records[(code*7)%len(s.records)]
			c := filter.Candidate{Record: r, Types: [][]string{nil, {"buy"}, {"watch", "buy"}, {"click"}}[code%4]}
			rules, keeps := f.Explain(b, subject, c)
			if want := b.For(subject).Keeps(c); keeps != want {
				t.Fatalf("%s keeps %v: %v, explained as %v", expr, c, want, keeps)
			}
			includes, included, excluded := false, false, false
			for _, v := range rules {
				exclude := v.Rule[:7] == "EXCLUDE"
				includes = includes || !exclude && v.Skipped == ""
				included = included || !exclude && v.Holds
				excluded = excluded || exclude && v.Holds
				if got := holding(v); got != v.Holds {
					t.Errorf("%s: of %v the tests say %v, the rule %v", v.Rule, c, got, v.Holds)
				}
			}
			if keeps != ((!includes || included) && !excluded) {
				t.Errorf("%s: %v is kept: %v, but the rules say %s", expr, c, keeps, fmt.Sprint(rules))
			}
		}
	}
}

// holding tells whether one of the conjunctions holds.
func holding(v filter.Verdict) bool {
	for _, conjunction := range v.Tests {
		all := true
		for _, test := range conjunction {
			all = all && test.Holds
		}
		if all {
			return true
		}
	}
	return false
}
