package api

import (
	"slices"
	"strconv"
	"unicode/utf8"
)

// sound tells whether check would find nothing wrong with v. It is what nearly every request needs: check, its plain twin, also words what is wrong, for
// which it builds a path for each value. Where sound is in doubt it says no, and check decides.
func (r *rule) sound(v *value) bool {
	switch r.kind {
	case structureKind:
		return v.kind == objectValue && r.soundMembers(v)
	case listKind:
		if v.kind != arrayValue || !r.within(float64(len(v.items))) {
			return false
		}
		for i := range v.items {
			if !r.element.sound(&v.items[i]) { // null fits no rule
				return false
			}
		}
		return true
	case stringKind:
		return v.kind == stringValue && r.soundText(v.text)
	case timestampKind:
		_, err := v.time()
		return err == nil
	case booleanKind:
		return v.kind == boolValue
	case integerKind:
		n, err := strconv.ParseInt(v.text, 10, 32)
		return v.kind == numberValue && err == nil && r.within(float64(n))
	case doubleKind:
		n, err := strconv.ParseFloat(v.text, 64)
		return v.kind == numberValue && err == nil && r.within(n)
	case mapKind:
		if v.kind != objectValue || !r.within(float64(len(v.items))) {
			return false
		}
		for i := range v.items {
			if !r.key.soundText(v.names[i]) || !r.element.sound(&v.items[i]) {
				return false
			}
		}
		return true
	}
	return false
}

func (r *rule) soundText(s string) bool {
	return r.within(float64(utf8.RuneCountInString(s))) && (r.like == nil || r.like(s)) && (len(r.enum) == 0 || slices.Contains(r.enum, s))
}

func (r *rule) soundMembers(v *value) bool {
	for i := range r.fields {
		f := &r.fields[i]
		m := v.member(f.name)
		if m.kind == nullValue {
			if f.required {
				return false
			}
		} else if !f.rule.sound(m) {
			return false
		}
	}
	return true
}

// within tells whether n lies in the bounds.
func (r *rule) within(n float64) bool {
	return (r.min == nil || n >= *r.min) && (r.max == nil || n <= *r.max)
}
