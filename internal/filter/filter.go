// Package filter is the language of filter expressions, which say what may be recommended:
//
//	EXCLUDE ItemID WHERE Items.GENRE IN ("horror", "war") IF CurrentUser.AGE < 18 | EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("watch")
//
// Parse reads an expression and refuses what no dataset group could make valid; Check compares the rest with the schemas of a group. Errors are texts for the
// API's client and name the character at fault. A Filter is immutable.
//
// Bind gives a filter the values that a request has for its placeholders, For leaves what counts for the user and item that the request names, and Keeps asks it
// about one candidate after the other: the plain reading of the rules, test by test. On is the quick one, for candidates whose records stand in Columns.
//
// Keywords, entities, dataset names and field names are matched ignoring case; placeholders and strings are exact. White space is free between tokens. AND
// binds tighter than OR, and there are no parentheses for grouping, so a condition is always a disjunction of conjunctions.
//
//	filter      = rule , { "|" , rule } ;
//	rule        = ( "INCLUDE" | "EXCLUDE" ) , entity , "WHERE" , condition , [ "IF" , userTest , { "AND" , userTest } ] ;
//	entity      = "ItemID" | "ActionID" | "UserID" ;
//	condition   = conjunction , { "OR" , conjunction } ;
//	conjunction = test , { "AND" , test } ;
//	test        = field , ( compOp , operand | [ "NOT" ] , "IN" , set ) ;            (* NOT IN may be written NOT_IN *)
//	userTest    = "CurrentUser" , "." , name , ( compOp , operand | [ "NOT" ] , "IN" , set ) ;
//	compOp      = "=" | "!=" | "<" | "<=" | ">" | ">=" ;
//	operand     = literal | placeholder | "(" , placeholder , ")" | currentItem ;
//	set         = "(" , literal , { "," , literal } , ")" | "(" , "*" , ")"          (* the asterisk, bare or quoted: EVENT_TYPE IN only *)
//	            | placeholder | "(" , placeholder , ")" | currentItem | "(" , currentItem , ")" ;
//	field       = ( "Interactions" | "Items" | "Users" | "Actions" | "Action" | "Action_Interactions" ) , "." , name ;
//	currentItem = "CurrentItem" , "." , name ;
//	placeholder = "$" , letter or digit or "_" , { letter or digit or "_" } ;        (* at most 50 *)
//	literal     = string | number ;
//	string      = '"' , { character except '"' and '\' | '\"' | '\\' } , '"' ;
//	number      = [ "-" ] , digits , [ "." , digits ] ;
//	name        = ( letter | "_" ) , { letter or digit or "_" } ;
package filter

import (
	"fmt"
	"slices"
	"strings"

	"github.com/palate-dev/palate/internal/schema"
)

// Filter is a parsed filter expression.
type Filter struct {
	source string
	rules  []rule
}

// Entity is what a filter selects.
type Entity uint8

const (
	ItemID Entity = iota
	ActionID
	UserID
)

func (e Entity) String() string { return [...]string{"ItemID", "ActionID", "UserID"}[e] }

// Entity returns what the filter selects; all its rules select the same.
func (f *Filter) Entity() Entity { return f.rules[0].entity }

// Fields returns the distinct fields that the filter refers to, sorted, as DATASET.NAME in upper case. They are what quotas count: CurrentUser.AGE and
// Users.AGE are one field, and so are CurrentItem.GENRE and Items.GENRE.
func (f *Filter) Fields() []string {
	var names []string
	for _, t := range f.tests() {
		names = append(names, t.field.key())
		if ref, ok := t.operand.(*reference); ok {
			names = append(names, ref.field.key())
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// UsesCurrentItem reports whether a test refers to CurrentItem, which only requests for related items have.
func (f *Filter) UsesCurrentItem() bool {
	return slices.ContainsFunc(f.tests(), func(t *test) bool {
		_, ok := t.operand.(*reference)
		return ok
	})
}

// Placeholders returns the distinct names of placeholders, without the dollar sign, in the order of their first use.
func (f *Filter) Placeholders() []string {
	var names []string
	for _, t := range f.tests() {
		if p, ok := t.operand.(*placeholder); ok && !slices.Contains(names, p.name) {
			names = append(names, p.name)
		}
	}
	return names
}

// String returns the expression in canonical form: it parses to the same filter.
func (f *Filter) String() string {
	var b strings.Builder
	for i, r := range f.rules {
		if i > 0 {
			b.WriteString(" | ")
		}
		r.print(&b)
	}
	return b.String()
}

// tests returns all tests in the order of the source.
func (f *Filter) tests() []*test {
	var all []*test
	for _, r := range f.rules {
		all = append(all, r.tests()...)
	}
	return all
}

// Error is a fault of an expression.
type Error struct {
	Pos    int    // the character where it stands, the first being 1
	Symbol string // the placeholder that is at fault, with its dollar sign, or ""
	Msg    string
}

func (e *Error) Error() string {
	if e.Symbol != "" {
		return fmt.Sprintf("Invalid input symbol: %s. %s", e.Symbol, e.Msg)
	}
	return fmt.Sprintf("Could not create filter. Invalid Expression at character %d: %s.", e.Pos, e.Msg)
}

// owners are the words that a field reference starts with, in canonical spelling. CurrentUser and CurrentItem stand for one record of Users and Items.
var owners = []struct {
	name    string
	dataset schema.Type
	current bool
}{
	{"Interactions", schema.Interactions, false},
	{"Items", schema.Items, false},
	{"Users", schema.Users, false},
	{"Actions", schema.Actions, false},
	{"Action_Interactions", schema.ActionInteractions, false},
	{"CurrentUser", schema.Users, true},
	{"CurrentItem", schema.Items, true},
	{"Action", schema.Actions, false}, // one example of the guide writes it so
}
