package api

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

type kind uint8

const (
	stringKind kind = iota
	integerKind
	doubleKind
	booleanKind
	timestampKind
	listKind
	mapKind
	structureKind
)

func (k kind) String() string {
	return [...]string{"string", "integer", "double", "boolean", "timestamp", "list", "map", "structure"}[k]
}

// shape is one row of the generated tables: a named type of the model and its constraints.
type shape struct {
	kind         kind
	min, max     *float64 // of a string its length in characters, of a list or map its size, of a number its value
	pattern      string   // the whole value must match
	goPattern    string   // the same language in Go's syntax, where the model's pattern is not Go
	enum         []string
	sensitive    bool
	key, element string // shapes of a map's keys, and of a list's or map's elements
	members      []member
}

type member struct {
	name, shape string
	required    bool
}

func bound(v float64) *float64 { return &v }

// rule is a shape with its references resolved and its Go field known. It is immutable once linked.
type rule struct {
	shape
	like         func(string) bool // of a string with a pattern: the whole value must match
	key, element *rule
	fields       []field
}

type field struct {
	member
	rule  *rule
	index int // of the field of the Go structure
}

// link resolves the named shape against the Go type that requests of that shape are decoded into.
// The two are generated from one model; that they fit is checked for every operation by a test, so link panics.
func link(shapes map[string]shape, name string, t reflect.Type) *rule {
	s, ok := shapes[name]
	if !ok {
		panic("no shape " + name)
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	r := &rule{shape: s}
	switch s.kind {
	case stringKind:
		if s.pattern == arnPattern {
			r.like = likeARN
		} else if re := compile(s); re != nil {
			r.like = re.MatchString
		}
	case listKind:
		r.element = link(shapes, s.element, t.Elem())
	case mapKind:
		r.key, r.element = link(shapes, s.key, t.Key()), link(shapes, s.element, t.Elem())
	case structureKind:
		for i, m := range s.members {
			f := t.Field(i)
			if tag, _, _ := strings.Cut(f.Tag.Get("json"), ","); tag != m.name {
				panic(fmt.Sprintf("field %s.%s is not member %s of shape %s", t, f.Name, m.name, name))
			}
			r.fields = append(r.fields, field{m, link(shapes, m.shape, f.Type), i})
		}
	}
	return r
}

func compile(s shape) *regexp.Regexp {
	pattern := s.pattern
	if s.goPattern != "" {
		pattern = s.goPattern
	}
	if pattern == "" {
		return nil
	}
	return regexp.MustCompile(`\A(?:` + pattern + `)\z`)
}

// arnPattern is the pattern of nearly every request.
const arnPattern = `arn:([a-z\d-]+):personalize:.*:.*:.+`

// likeARN matches arnPattern, which has no line feed.
func likeARN(s string) bool {
	rest, ok := strings.CutPrefix(s, "arn:")
	partition := 0
	for partition < len(rest) && (rest[partition] == '-' || '0' <= rest[partition] && rest[partition] <= '9' || 'a' <= rest[partition] && rest[partition] <= 'z') {
		partition++
	}
	rest, personal := strings.CutPrefix(rest[partition:], ":personalize:")
	if !ok || partition == 0 || !personal || strings.IndexByte(rest, '\n') >= 0 {
		return false
	}
	_, rest, region := strings.Cut(rest, ":")
	_, rest, account := strings.Cut(rest, ":")
	return region && account && rest != ""
}

// breaches collects what is wrong with a request, in the order of the model.
type breaches struct {
	texts []string
	count int
}

// maxBreaches bounds the message; all are counted.
const maxBreaches = 50

func (b *breaches) add(path, echo, constraint string) {
	if b.count++; b.count <= maxBreaches {
		b.texts = append(b.texts, fmt.Sprintf("Value%s at '%s' failed to satisfy constraint: %s", echo, path, constraint))
	}
}

// err words the breaches as the service does.
func (b *breaches) err() error {
	switch b.count {
	case 0:
		return nil
	case 1:
		return Errorf(InvalidInput, "1 validation error detected: %s", b.texts[0])
	default:
		return Errorf(InvalidInput, "%d validation errors detected: %s", b.count, strings.Join(b.texts, "; "))
	}
}

// check walks v along r. Path is the name of v in messages; secret tells that nothing below may be repeated there.
func (r *rule) check(v *value, path string, secret bool, b *breaches) {
	secret = secret || r.sensitive
	if !r.fits(v) {
		b.add(path, "", "Member must have type "+r.kind.String())
		return
	}
	switch r.kind {
	case structureKind:
		r.checkMembers(v, path, secret, b)
	case listKind:
		r.checkSize(v, path, b)
		for i := range v.items {
			r.element.checkPresent(&v.items[i], path+"."+strconv.Itoa(i+1)+".member", secret, b)
		}
	case mapKind:
		r.checkSize(v, path, b)
		r.checkEntries(v, path, secret, b)
	default:
		for _, c := range r.constraints(v) {
			b.add(path, echo(v, secret), c)
		}
	}
}

func (r *rule) checkMembers(v *value, path string, secret bool, b *breaches) {
	for _, f := range r.fields {
		name := f.name
		if path != "" {
			name = path + "." + name
		}
		m := v.member(f.name)
		if m.kind != nullValue {
			f.rule.check(m, name, secret, b)
		} else if f.required {
			b.add(name, " null", "Member must not be null")
		}
	}
}

// checkPresent checks an element of a list or map, where null is not absence but a hole.
func (r *rule) checkPresent(v *value, path string, secret bool, b *breaches) {
	if v.kind == nullValue {
		b.add(path, " null", "Member must not be null")
		return
	}
	r.check(v, path, secret, b)
}

func (r *rule) checkSize(v *value, path string, b *breaches) {
	for _, c := range r.outside(float64(len(v.items)), "length") {
		b.add(path, "", c)
	}
}

// checkEntries checks keys and values of a map. Keys are the client's words and stand in no path.
func (r *rule) checkEntries(v *value, path string, secret bool, b *breaches) {
	var keys, values []string
	for i := range v.items {
		keys = appendNew(keys, r.key.constraints(&value{kind: stringValue, text: v.names[i]}))
		switch item := &v.items[i]; {
		case item.kind == nullValue:
			values = appendNew(values, []string{"Member must not be null"})
		case r.element.kind >= listKind:
			r.element.check(item, path+".value", secret, b)
		case !r.element.fits(item):
			values = appendNew(values, []string{"Member must have type " + r.element.kind.String()})
		default:
			values = appendNew(values, r.element.constraints(item))
		}
	}
	if len(keys) > 0 {
		b.add(path, "", "Map keys must satisfy constraint: ["+strings.Join(keys, ", ")+"]")
	}
	if len(values) > 0 {
		b.add(path, "", "Map value must satisfy constraint: ["+strings.Join(values, ", ")+"]")
	}
}

func appendNew(list, more []string) []string {
	for _, s := range more {
		if !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}

// fits tells whether the JSON type of v is the one of r.
func (r *rule) fits(v *value) bool {
	switch r.kind {
	case stringKind:
		return v.kind == stringValue
	case integerKind:
		_, err := strconv.ParseInt(v.text, 10, 32)
		return v.kind == numberValue && err == nil
	case doubleKind:
		_, err := strconv.ParseFloat(v.text, 64)
		return v.kind == numberValue && err == nil
	case booleanKind:
		return v.kind == boolValue
	case timestampKind:
		_, err := v.time()
		return err == nil
	case listKind:
		return v.kind == arrayValue
	default:
		return v.kind == objectValue
	}
}

// time reads a timestamp in either of its forms.
func (v *value) time() (Time, error) {
	switch v.kind {
	case numberValue:
		return parseEpoch(v.text)
	case stringValue:
		return parseISO(v.text)
	default:
		return Time{}, fmt.Errorf("not a timestamp")
	}
}

// constraints names what is wrong with a scalar that fits.
func (r *rule) constraints(v *value) []string {
	switch r.kind {
	case stringKind:
		return r.stringConstraints(v.text)
	case integerKind, doubleKind:
		n, _ := strconv.ParseFloat(v.text, 64)
		return r.outside(n, "value")
	default:
		return nil
	}
}

func (r *rule) stringConstraints(s string) []string {
	list := r.outside(float64(utf8.RuneCountInString(s)), "length")
	if r.like != nil && !r.like(s) {
		list = append(list, "Member must satisfy regular expression pattern: "+r.pattern)
	}
	if len(r.enum) > 0 && !slices.Contains(r.enum, s) {
		list = append(list, "Member must satisfy enum value set: ["+strings.Join(r.enum, ", ")+"]")
	}
	return list
}

// outside words a breach of the bounds; what is "length" or "value".
func (r *rule) outside(n float64, what string) []string {
	switch {
	case r.min != nil && n < *r.min:
		return []string{"Member must have " + what + " greater than or equal to " + strconv.FormatFloat(*r.min, 'f', -1, 64)}
	case r.max != nil && n > *r.max:
		return []string{"Member must have " + what + " less than or equal to " + strconv.FormatFloat(*r.max, 'f', -1, 64)}
	default:
		return nil
	}
}

// maxEcho is how much of a wrong value a message repeats, in characters.
const maxEcho = 256

func echo(v *value, secret bool) string {
	if secret {
		return ""
	}
	text := v.text
	if runes := []rune(text); len(runes) > maxEcho {
		text = string(runes[:maxEcho]) + "..."
	}
	return " '" + text + "'"
}
