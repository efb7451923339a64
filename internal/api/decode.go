package api

import (
	"bytes"
	"reflect"
	"strconv"
)

// decode checks body against r and fills the structure that in points to.
func (r *rule) decode(body []byte, in any) error {
	if len(bytes.TrimSpace(body)) == 0 {
		body = []byte("{}") // some clients send nothing where there are no parameters
	}
	text := readers.Get().(*reader)
	defer text.release()
	v, err := text.parse(body)
	if err != nil {
		return Errorf(Serialization, "The request body is not valid: %v.", err)
	}
	if v.kind != objectValue {
		return Errorf(Serialization, "The request body is not a JSON object.")
	}
	if !r.sound(&v) {
		var b breaches
		r.check(&v, "", false, &b)
		if err := b.err(); err != nil {
			return err
		}
	}
	r.assign(&v, reflect.ValueOf(in).Elem())
	return nil
}

// assign puts a checked value into its Go variable. Members that the model does not know are dropped here.
func (r *rule) assign(v *value, to reflect.Value) {
	if to.Kind() == reflect.Pointer {
		to.Set(reflect.New(to.Type().Elem()))
		to = to.Elem()
	}
	switch r.kind {
	case stringKind:
		to.SetString(v.text)
	case integerKind:
		n, _ := strconv.ParseInt(v.text, 10, 32)
		to.SetInt(n)
	case doubleKind:
		n, _ := strconv.ParseFloat(v.text, 64)
		to.SetFloat(n)
	case booleanKind:
		to.SetBool(v.text == "true")
	case timestampKind:
		t, _ := v.time()
		to.Set(reflect.ValueOf(t))
	case listKind:
		if list, ok := to.Addr().Interface().(*[]string); ok { // as below, at a tenth of the cost
			*list = make([]string, len(v.items))
			for i := range v.items {
				(*list)[i] = v.items[i].text
			}
			return
		}
		to.Set(reflect.MakeSlice(to.Type(), len(v.items), len(v.items)))
		for i := range v.items {
			r.element.assign(&v.items[i], to.Index(i))
		}
	case mapKind:
		r.assignMap(v, to)
	case structureKind:
		for _, f := range r.fields {
			if m := v.member(f.name); m.kind != nullValue {
				f.rule.assign(m, to.Field(f.index))
			}
		}
	}
}

func (r *rule) assignMap(v *value, to reflect.Value) {
	to.Set(reflect.MakeMapWithSize(to.Type(), len(v.items)))
	item := reflect.New(to.Type().Elem()).Elem()
	for i := range v.items {
		item.SetZero()
		r.element.assign(&v.items[i], item)
		to.SetMapIndex(reflect.ValueOf(v.names[i]), item)
	}
}
