package filter_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/palate-dev/palate/internal/filter"
	"github.com/palate-dev/palate/internal/schema"
)

// group returns the schemas of a dataset group with fields of every kind.
func group() map[schema.Type]*schema.Schema {
	category := func(name string) schema.Field {
		return schema.Field{Name: name, Kind: schema.String, Nullable: true, Categorical: true}
	}
	number := func(name string, k schema.Kind) schema.Field { return schema.Field{Name: name, Kind: k} }
	text := func(name string) schema.Field { return schema.Field{Name: name, Kind: schema.String} }
	schemas := map[schema.Type]*schema.Schema{}
	for t, fields := range map[schema.Type][]schema.Field{
		schema.Interactions: {text("USER_ID"), text("ITEM_ID"), number("TIMESTAMP", schema.Long), text("EVENT_TYPE"), category("DEVICE")},
		schema.Items: {
			text("ITEM_ID"), category("GENRE"), category("CATEGORY"), category("CATEGORY_L1"), category("CATEGORY_L2"), number("PRICE", schema.Float), number("YEAR", schema.Int),
			number("CREATION_TIMESTAMP", schema.Long), text("G"), {Name: "IN_STOCK", Kind: schema.Boolean}, {Name: "DESCRIPTION", Kind: schema.String, Textual: true},
		},
		schema.Users:              {text("USER_ID"), number("AGE", schema.Int), category("TIER"), category("MEMBERSHIP"), category("MEMBERSHIP_STATUS"), text("Country"), number("A", schema.Int), number("B", schema.Int)},
		schema.Actions:            {text("ACTION_ID"), number("VALUE", schema.Long), number("REPEAT_FREQUENCY", schema.Long), number("EXPIRATION_TIMESTAMP", schema.Long), category("MEMBERSHIP_LEVEL")},
		schema.ActionInteractions: {text("USER_ID"), text("ACTION_ID"), text("EVENT_TYPE"), number("TIMESTAMP", schema.Long)},
	} {
		schemas[t] = &schema.Schema{Type: t, Fields: fields}
	}
	return schemas
}

var valid = []struct {
	expr   string
	fields string
}{
	{`EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("click", "stream")`, "INTERACTIONS.EVENT_TYPE"},
	{`EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("click, rating")`, "INTERACTIONS.EVENT_TYPE"},
	{`EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")`, "INTERACTIONS.EVENT_TYPE"},
	{`EXCLUDE ItemID WHERE Interactions.event_type IN (*)`, "INTERACTIONS.EVENT_TYPE"},
	{`EXCLUDE ItemID WHERE Interactions.EVENT_TYPE = "click"`, "INTERACTIONS.EVENT_TYPE"},
	{`EXCLUDE ItemID WHERE Interactions.EVENT_TYPE NOT IN ("click")`, "INTERACTIONS.EVENT_TYPE"},
	{`INCLUDE ItemID WHERE Items.PRICE <= $PRICE`, "ITEMS.PRICE"},
	{`INCLUDE ItemID WHERE Items.PRICE = "19.99"`, "ITEMS.PRICE"},
	{`INCLUDE ItemID WHERE Items.PRICE > -0.5 OR Items.YEAR IN (1970, "1971")`, "ITEMS.PRICE ITEMS.YEAR"},
	{`INCLUDE ItemID WHERE Items.YEAR >= 1970 AND Items.YEAR < 1980`, "ITEMS.YEAR"},
	{`INCLUDE ItemID WHERE Items.CREATION_TIMESTAMP < $DATE`, "ITEMS.CREATION_TIMESTAMP"},
	{`EXCLUDE ItemID WHERE Items.CATEGORY_L1 IN ("shoe") AND Items.CATEGORY_L2 NOT IN ("boot")`, "ITEMS.CATEGORY_L1 ITEMS.CATEGORY_L2"},
	{`EXCLUDE ItemID WHERE Items.GENRE IN ("*")`, "ITEMS.GENRE"},
	{`EXCLUDE ItemID WHERE ITEMS.genre NOT_IN ("a \"b\" \\")`, "ITEMS.GENRE"},
	{`EXCLUDE ItemID WHERE Items.GENRE != "a"`, "ITEMS.GENRE"},
	{`EXCLUDE ItemID WHERE Items.ITEM_ID IN ("1")`, "ITEMS.ITEM_ID"},
	{`EXCLUDE ItemID WHERE Items.GENRE IN ($GENRE) IF CurrentUser.AGE = $AGE`, "ITEMS.GENRE USERS.AGE"},
	{`EXCLUDE ItemID WHERE Items.GENRE IN $GENRE IF CurrentUser.TIER NOT IN ("gold")`, "ITEMS.GENRE USERS.TIER"},
	{`INCLUDE ItemID WHERE Items.CATEGORY IN ("watch") IF CurrentUser.AGE > 18 AND CurrentUser.TIER IN ("gold")`, "ITEMS.CATEGORY USERS.AGE USERS.TIER"},
	{`INCLUDE ItemID WHERE Items.CATEGORY IN ("watch") IF CurrentUser.MEMBERSHIP = $PREMIUM`, "ITEMS.CATEGORY USERS.MEMBERSHIP"},
	{`INCLUDE ItemID WHERE Items.PRICE < CurrentItem.PRICE AND Items.GENRE IN CurrentItem.GENRE`, "ITEMS.GENRE ITEMS.PRICE"},
	{`INCLUDE ItemID WHERE Items.GENRE IN (CurrentItem.CATEGORY)`, "ITEMS.CATEGORY ITEMS.GENRE"},
	{`INCLUDE ItemID WHERE Items.GENRE IN ($GENRE) | EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("watch")`, "INTERACTIONS.EVENT_TYPE ITEMS.GENRE"},
	{`INCLUDE ActionID WHERE Actions.VALUE > ($VALUE)`, "ACTIONS.VALUE"},
	{`INCLUDE ActionID WHERE Action.MEMBERSHIP_LEVEL IN ("a")`, "ACTIONS.MEMBERSHIP_LEVEL"},
	{`EXCLUDE ActionID WHERE Action_Interactions.EVENT_TYPE IN ("NOT_TAKEN")`, "ACTION_INTERACTIONS.EVENT_TYPE"},
	{`INCLUDE UserID WHERE Users.MEMBERSHIP_STATUS IN ($MEMBERSHIP)`, "USERS.MEMBERSHIP_STATUS"},
	{`INCLUDE UserID WHERE Interactions.EVENT_TYPE IN ($E)`, "INTERACTIONS.EVENT_TYPE"},
	{`exclude UserId where users.country in ("England", "Japan購入")`, "USERS.COUNTRY"},
	{"\n EXCLUDE\tItemID WHERE Items . GENRE IN(\"a\"\r\n,\"b\")OR Items.YEAR=1|INCLUDE ItemID WHERE Items.YEAR!=2 ", "ITEMS.GENRE ITEMS.YEAR"},
}

func TestValidExpressionsPassAndCountTheirFields(t *testing.T) {
	for _, c := range valid {
		f, err := filter.Parse(c.expr)
		if err != nil {
			t.Errorf("Parse(%s): %v", c.expr, err)
			continue
		}
		if err := f.Check(group()); err != nil {
			t.Errorf("Check(%s): %v", c.expr, err)
		}
		if got := strings.Join(f.Fields(), " "); got != c.fields {
			t.Errorf("Fields(%s) = %s, want %s", c.expr, got, c.fields)
		}
		again, err := filter.Parse(f.String())
		if err != nil || again.String() != f.String() {
			t.Errorf("canonical form %s of %s does not parse to the same filter: %v", f, c.expr, err)
		}
	}
}

func TestInvalidExpressionsAreRefusedWithPositionAndReason(t *testing.T) {
	const expression = "Could not create filter. Invalid Expression at character "
	for _, c := range []struct{ expr, want string }{
		// the table of the specification
		{`INCLUDE ItemID WHERE Items.GENRE NOT IN ($G)`, "Invalid input symbol: $G. Placeholders are not allowed with NOT_IN operator."},
		{`INCLUDE ItemID WHERE Items.GENRE IN ($A, $B)`, expression + "40: IN takes either literals or exactly one placeholder, field or asterisk."},
		{`INCLUDE ItemID WHERE Items.GENRE IN ("a") AND Interactions.EVENT_TYPE IN ("click")`, expression + "47: all tests of an expression must be on the same dataset; join another expression by |."},
		{`EXCLUDE ItemID WHERE CurrentUser.AGE > 18`, expression + "22: CurrentUser can be used after IF only."},
		{`EXCLUDE ItemID IF CurrentUser.AGE > 18`, expression + "16: expected WHERE, found IF."},
		{`EXCLUDE ItemID WHERE Items.G IN ("a") IF CurrentUser.A = 1 OR CurrentUser.B = 2`, expression + "60: tests after IF can be joined by AND only."},
		{`EXCLUDE ItemID WHERE Items.G IN ("a") IF CurrentUser.A = 1 IF CurrentUser.B = 2`, expression + "60: expected AND, | or the end of the expression, found IF."},
		{`EXCLUDE ItemID WHERE Items.DESCRIPTION IN ("x")`, expression + "22: Items.DESCRIPTION is a textual field; textual fields cannot be used in filters."},
		{`EXCLUDE ItemID WHERE Items.IN_STOCK = true`, expression + "39: boolean fields and values cannot be used in filters."},
		{`EXCLUDE ItemID WHERE Items.CATEGORY < "b"`, expression + "37: Items.CATEGORY is a string field; operator < needs a number."},
		{`EXCLUDE ItemID WHERE Items.PRICE IN (*)`, expression + "38: the asterisk can be used with EVENT_TYPE only."},
		{`EXCLUDE ItemID WHERE Interactions.DEVICE IN ("tv")`, expression + "22: EVENT_TYPE is the only field of interactions that can be tested, not DEVICE."},
		{`EXCLUDE ActionID WHERE Actions.REPEAT_FREQUENCY > 3`, expression + "24: Actions.REPEAT_FREQUENCY is applied automatically and cannot be used in filters."},
		{`INCLUDE ItemID WHERE Items.NOSUCH IN ("a")`, expression + "22: the schema of the dataset of type ITEMS has no field NOSUCH."},
		{`EXCLUDE Items.GENRE IN ("a")`, expression + "9: expected ItemID or ActionID or UserID, found Items."},

		// syntax
		{``, expression + "1: expected INCLUDE or EXCLUDE, found the end of the expression."},
		{`SELECT`, expression + "1: expected INCLUDE or EXCLUDE, found SELECT."},
		{`EXCLUDE ItemID WHERE Items.GENRE IN ('a')`, expression + "38: strings are written in double quotes."},
		{`EXCLUDE ItemID WHERE Items.GENRE IN ("購入", é)`, expression + "44: unexpected character 'é'."},
		{`EXCLUDE ItemID WHERE Items.GENRE IN ("a`, expression + "38: the string is not closed."},
		{`EXCLUDE ItemID WHERE Items.GENRE IN ("a\n")`, expression + `40: a backslash in a string must be followed by " or \.`},
		{`EXCLUDE ItemID WHERE Items.GENRE IN ()`, expression + "38: expected a string, a number or a placeholder, found )."},
		{`EXCLUDE ItemID WHERE Items.GENRE IN ("a"`, expression + "41: expected ), found the end of the expression."},
		{`EXCLUDE ItemID WHERE Items.GENRE IN ("a", $A)`, expression + "43: IN takes either literals or exactly one placeholder, field or asterisk."},
		{`EXCLUDE ItemID WHERE Items.GENRE IN "a"`, expression + "37: expected (, found a string."},
		{`EXCLUDE ItemID WHERE Items.GENRE = ("a")`, expression + "37: expected a placeholder, found a string."},
		{`EXCLUDE ItemID WHERE Items.GENRE`, expression + "33: expected an operator, found the end of the expression."},
		{`EXCLUDE ItemID WHERE Items.YEAR = 1e3`, expression + "35: 1e3 is not a number."},
		{`EXCLUDE ItemID WHERE Items.YEAR = 1.`, expression + "35: 1. is not a number."},
		{`EXCLUDE ItemID WHERE Items.YEAR = -`, expression + "35: - is not a number."},
		{`EXCLUDE ItemID WHERE Items.YEAR ! 1`, expression + "33: expected != instead of !."},
		{`EXCLUDE ItemID WHERE Items.YEAR = 1 |`, expression + "38: expected INCLUDE or EXCLUDE, found the end of the expression."},
		{`EXCLUDE ItemID WHERE (Items.YEAR = 1)`, expression + "22: expected a field, found (."},
		{`EXCLUDE ItemID WHERE Item.YEAR = 1`, expression + "22: Item is not a dataset."},
		{`EXCLUDE ItemID WHERE Items.YEAR = $`, expression + "35: the name of a placeholder has 1 to 50 letters, digits and underscores."},
		{`EXCLUDE ItemID WHERE Items.YEAR = $` + strings.Repeat("x", 51), expression + "35: the name of a placeholder has 1 to 50 letters, digits and underscores."},
		{`EXCLUDE ItemID WHERE Items.YEAR = CurrentUser.AGE`, expression + "35: expected a string, a number, a placeholder or a field of CurrentItem, found CurrentUser."},
		{`EXCLUDE ItemID WHERE Items.G IN ("` + strings.Repeat("é", 2500) + `")`, expression + "2501: the expression is longer than 2500 characters."},

		// combinations
		{`EXCLUDE ItemID WHERE CurrentItem.YEAR = 1`, expression + "22: CurrentItem can stand on the right of an operator only."},
		{`EXCLUDE ItemID WHERE Users.AGE = 1`, expression + "22: Users.AGE cannot be tested in an expression on ItemID."},
		{`EXCLUDE ActionID WHERE Interactions.EVENT_TYPE IN ("a")`, expression + "24: Interactions.EVENT_TYPE cannot be tested in an expression on ActionID."},
		{`EXCLUDE UserID WHERE Users.AGE = 1 IF CurrentUser.AGE = 1`, expression + "39: expressions on UserID cannot have an IF condition."},
		{`EXCLUDE ItemID WHERE Items.YEAR = 1 | EXCLUDE ActionID WHERE Actions.VALUE = 1`, expression + "39: all expressions of a filter must have the same entity, the first has ItemID."},
		{`EXCLUDE ItemID WHERE Items.YEAR = 1 IF Users.AGE = 1`, expression + "40: tests after IF must be on CurrentUser."},
		{`EXCLUDE ItemID WHERE Interactions.EVENT_TYPE NOT IN ("*")`, expression + "54: the asterisk cannot be used with NOT IN."},
		{`EXCLUDE ItemID WHERE Interactions.EVENT_TYPE != "a"`, expression + "46: EVENT_TYPE can be tested with IN and NOT IN only."},
		{`EXCLUDE ActionID WHERE Actions.VALUE = CurrentItem.PRICE`, expression + "40: CurrentItem can be used in expressions on ItemID that test Items only."},
		{`EXCLUDE ItemID WHERE Items.G NOT IN CurrentItem.G`, expression + "37: CurrentItem cannot be used with NOT IN."},

		// types
		{`EXCLUDE ItemID WHERE Items.IN_STOCK = $S`, expression + "22: Items.IN_STOCK is a boolean field; boolean fields cannot be used in filters."},
		{`EXCLUDE ItemID WHERE Items.YEAR = "new"`, expression + "35: Items.YEAR is compared with numbers only."},
		{`EXCLUDE ItemID WHERE Items.YEAR IN (1, "Infinity")`, expression + "40: Items.YEAR is compared with numbers only."},
		{`EXCLUDE ItemID WHERE Items.GENRE IN (7)`, expression + "38: Items.GENRE is compared with strings only; strings are written in double quotes."},
		{`EXCLUDE ItemID WHERE Items.GENRE = CurrentItem.PRICE`, expression + "36: Items.GENRE and CurrentItem.PRICE have types that cannot be compared."},
		{`EXCLUDE ItemID WHERE Items.GENRE > $X`, expression + "34: Items.GENRE is a string field; operator > needs a number."},
		{`EXCLUDE ItemID WHERE Items.YEAR = 1 IF CurrentUser.NOSUCH = 1`, expression + "40: the schema of the dataset of type USERS has no field NOSUCH."},
	} {
		f, err := filter.Parse(c.expr)
		if err == nil {
			err = f.Check(group())
		}
		if err == nil {
			t.Errorf("%s: accepted, want %s", c.expr, c.want)
			continue
		}
		if diff := cmp.Diff(c.want, err.Error()); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", c.expr, diff)
		}
		if fault := new(filter.Error); !errors.As(err, &fault) || fault.Pos < 1 {
			t.Errorf("%s: %#v is not an *Error with a position", c.expr, err)
		}
	}
}

func TestCheckReportsMissingDatasetsBeforeFieldsTypesAndPlaceholders(t *testing.T) {
	const expr = `EXCLUDE ItemID WHERE Items.GENRE NOT IN ($G) AND Items.IN_STOCK = 1 AND Items.NOSUCH = 1 IF CurrentUser.AGE = 1`
	f, err := filter.Parse(expr)
	if err != nil {
		t.Fatal(err)
	}
	schemas := group()
	users := schemas[schema.Users]
	delete(schemas, schema.Users)
	items := schemas[schema.Items]
	steps := []struct {
		want string
		fix  func()
	}{
		{"the dataset group has no dataset of type USERS", func() { schemas[schema.Users] = users }},
		{"has no field NOSUCH", func() { items.Fields = append(items.Fields, schema.Field{Name: "NOSUCH", Kind: schema.Int}) }},
		{"boolean", func() { items.Fields[items.Index("IN_STOCK")].Kind = schema.Int }},
		{"Placeholders are not allowed with NOT_IN", func() {}},
	}
	for _, s := range steps {
		if err := f.Check(schemas); err == nil || !strings.Contains(err.Error(), s.want) {
			t.Errorf("Check = %v, want an error that says %s", err, s.want)
		}
		s.fix()
	}
}

func TestFilterKnowsItsEntityPlaceholdersAndCurrentItem(t *testing.T) {
	f, err := filter.Parse(`INCLUDE ItemID WHERE Items.GENRE IN ($g) OR Items.PRICE < $max IF CurrentUser.AGE = $AGE | EXCLUDE ItemID WHERE Items.GENRE IN ($G) AND Items.PRICE > $max`)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"g", "max", "AGE", "G"}, f.Placeholders()); diff != "" {
		t.Errorf("placeholders (-want +got)\n%s", diff)
	}
	if f.UsesCurrentItem() || f.Entity() != filter.ItemID {
		t.Error("entity or CurrentItem wrong")
	}
	f, err = filter.Parse(`INCLUDE ItemID WHERE Items.PRICE < CurrentItem.PRICE`)
	if err != nil || !f.UsesCurrentItem() {
		t.Errorf("CurrentItem not noticed: %v", err)
	}
	f, err = filter.Parse(`INCLUDE UserID WHERE Users.AGE < 18`)
	if err != nil || f.Entity() != filter.UserID {
		t.Errorf("entity %v: %v", f.Entity(), err)
	}
}

// FuzzParse holds that Parse and Check never panic, that errors stand inside the expression, and that the canonical form is a fixed point.
func FuzzParse(f *testing.F) {
	for _, c := range valid {
		f.Add(c.expr)
	}
	f.Add(`INCLUDE ItemID WHERE Items.GENRE IN ($A, "b", *) AND Interactions.x != -1.5 IF CurrentUser.AGE NOT IN CurrentItem.x OR`)
	schemas := group()
	f.Fuzz(func(t *testing.T, expr string) {
		parsed, err := filter.Parse(expr)
		if err != nil {
			fault := new(filter.Error)
			if !errors.As(err, &fault) || fault.Pos < 1 || fault.Pos > len(expr)+1 {
				t.Fatalf("error %#v of %q", err, expr)
			}
			return
		}
		_ = parsed.Check(schemas)
		canonical := parsed.String()
		again, err := filter.Parse(canonical)
		if err != nil {
			if len(canonical) > 2500 { // escapes and spaces can make it too long
				return
			}
			t.Fatalf("canonical form %q of %q: %v", canonical, expr, err)
		}
		if again.String() != canonical || !cmp.Equal(again.Fields(), parsed.Fields()) {
			t.Fatalf("%q: canonical form %q reads as %q", expr, canonical, again)
		}
	})
}
