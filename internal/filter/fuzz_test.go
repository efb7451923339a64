package filter_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/palate-dev/palate/internal/filter"
	"github.com/palate-dev/palate/internal/schema"
)

// plainKeeps is the twin of evaluation: it reads the canonical form of a filter word by word, knows nothing of its parser, and asks each test about the texts of a
// record. It does not know CurrentItem.
func plainKeeps(canonical string, item, user map[string]string, types []string, values map[string]string) (kept, known bool) {
	known = true
	include, included := false, false
	for _, rule := range splitOutside(canonical, " | ") {
		rule, condition, _ := cutOutside(rule, " WHERE ")
		condition, ifs, conditional := cutOutside(condition, " IF ")
		skipped := false
		for _, test := range splitOutside(condition+map[bool]string{true: " AND " + ifs, false: ""}[conditional], " ") {
			if name, ok := strings.CutPrefix(strings.Trim(test, "()"), "$"); ok && !strings.HasPrefix(test, `"`) && values[name] == "" {
				if strings.HasPrefix(rule, "INCLUDE") {
					return false, false
				}
				skipped = true
			}
		}
		if skipped {
			continue
		}
		all := func(tests string, record map[string]string) bool {
			for _, test := range splitOutside(tests, " AND ") {
				holds, ok := plainTest(test, record, types, values)
				known = known && ok
				if !holds {
					return false
				}
			}
			return true
		}
		if conditional && !all(ifs, user) {
			continue
		}
		holds := false
		for _, conjunction := range splitOutside(condition, " OR ") {
			holds = all(conjunction, item) || holds
		}
		if strings.HasPrefix(rule, "EXCLUDE") && holds {
			return false, known
		}
		if strings.HasPrefix(rule, "INCLUDE") {
			include, included = true, included || holds
		}
	}
	return !include || included, known
}

// plainTest evaluates FIELD OP OPERAND; known is false for what the twin does not do.
func plainTest(test string, record map[string]string, types []string, values map[string]string) (holds, known bool) {
	field, rest, _ := strings.Cut(test, " ")
	op, operand, _ := strings.Cut(rest, " ")
	if op == "NOT" {
		op = "NOT IN"
		_, operand, _ = strings.Cut(operand, " ")
	}
	if strings.HasPrefix(operand, "CurrentItem") {
		return false, false
	}
	var operands []string
	if name, ok := strings.CutPrefix(strings.Trim(operand, "()"), "$"); ok {
		operands = []string{values[name]}
	} else {
		operands = literals(operand)
	}
	owner, name, _ := strings.Cut(field, ".")
	name = strings.ToUpper(name)
	negative := op == "NOT IN" || op == "!="
	if owner == "Interactions" {
		for _, kind := range types {
			of := operand == "(*)" || slices.ContainsFunc(operands, func(o string) bool { return strings.EqualFold(o, kind) })
			if of != negative {
				return true, true
			}
		}
		return false, true
	}
	value, ok := record[name]
	if !ok {
		return negative, true
	}
	number, err := strconv.ParseFloat(value, 64)
	if strings.Contains("PRICE YEAR AGE A B CREATION_TIMESTAMP", name) && err == nil {
		for _, o := range operands {
			x, err := strconv.ParseFloat(strings.TrimSpace(o), 64)
			if err != nil {
				return false, false
			}
			if op == "<" && number < x || op == "<=" && number <= x || op == ">" && number > x || op == ">=" && number >= x || (op == "=" || op == "IN") && number == x {
				return true, true
			}
			if negative && number == x {
				return false, true
			}
		}
		return negative, true
	}
	found := slices.Contains(operands, value)
	for _, element := range strings.Split(value, "|") {
		found = found || slices.Contains(operands, element)
	}
	return found != negative, true
}

// literals reads (a, b) or a: numbers as they are, strings without quotes.
func literals(operand string) (list []string) {
	if strings.HasPrefix(operand, "(") {
		operand = operand[1 : len(operand)-1]
	}
	for _, l := range splitOutside(operand, ", ") {
		if strings.HasPrefix(l, `"`) {
			l = strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(l[1 : len(l)-1])
		}
		list = append(list, l)
	}
	return list
}

// splitOutside splits at separators that stand outside of strings.
func splitOutside(text, separator string) (parts []string) {
	for {
		part, rest, ok := cutOutside(text, separator)
		parts = append(parts, part)
		if !ok {
			return parts
		}
		text = rest
	}
}

func cutOutside(text, separator string) (before, after string, found bool) {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch {
		case quoted && text[i] == '\\':
			i++
		case text[i] == '"':
			quoted = !quoted
		case !quoted && strings.HasPrefix(text[i:], separator):
			return text[:i], text[i+len(separator):], true
		}
	}
	return text, "", false
}

// FuzzKeeps holds evaluation against the plain twin, for filters of items without CurrentItem.
func FuzzKeeps(f *testing.F) {
	for _, c := range valid {
		f.Add(c.expr, "horror|war", 1970, 19.99, "View", 40, "gold", "war")
	}
	f.Add(`INCLUDE ItemID WHERE Items.GENRE IN ("a \" OR b", "c AND | d") OR Items.PRICE >= 5 AND Items.YEAR != 3 | EXCLUDE ItemID WHERE Interactions.EVENT_TYPE NOT IN ("view")`, "c AND | d", 3, 5.0, "", 1, "", "1")
	schemas := group()
	f.Fuzz(func(t *testing.T, expr, genre string, year int, price float64, kind string, age int, tier, value string) {
		parsed, err := filter.Parse(expr)
		if err != nil || parsed.Check(schemas) != nil || parsed.Entity() != filter.ItemID || parsed.UsesCurrentItem() || price != price || strings.ContainsAny(value, `",`) {
			return
		}
		year, age = year%3000, age%200
		values, quoted := map[string]string{}, map[string]string{}
		if value = strings.TrimSpace(value); value != "" {
			for _, name := range parsed.Placeholders() {
				values[name], quoted[name] = value, value
			}
		}
		bound, err := parsed.Bind(schemas, quoted)
		if err != nil {
			return
		}
		item := row(t, schema.Items, "YEAR="+strconv.Itoa(year), "PRICE="+strconv.FormatFloat(price, 'g', -1, 64))
		items := map[string]string{"YEAR": strconv.Itoa(year), "PRICE": strconv.FormatFloat(price, 'g', -1, 64)}
		if genre != "" {
			item[schemas[schema.Items].Index("GENRE")] = schema.Value{Valid: true, Str: genre}
			items["GENRE"] = genre
		}
		user := row(t, schema.Users, "AGE="+strconv.Itoa(age))
		users := map[string]string{"AGE": strconv.Itoa(age)}
		if tier != "" {
			user[schemas[schema.Users].Index("TIER")] = schema.Value{Valid: true, Str: tier}
			users["TIER"] = tier
		}
		var types []string
		if kind != "" {
			types = []string{kind}
		}
		got := bound.For(filter.Subject{User: user}).Keeps(filter.Candidate{Record: item, Types: types})
		if want, known := plainKeeps(parsed.String(), items, users, types, values); known && got != want {
			t.Fatalf("%s keeps %v: %v, want %v", parsed, items, got, want)
		}
	})
}
