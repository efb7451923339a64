// Package schematest writes schemas for tests.
package schematest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/palate-dev/palate/internal/schema"
)

// Interactions is the schema of a rating log.
const Interactions = `{"type":"record","name":"Interactions","namespace":"com.amazonaws.personalize.schema","fields":[
	{"name":"USER_ID","type":"string"},{"name":"ITEM_ID","type":"string"},{"name":"TIMESTAMP","type":"long"},
	{"name":"EVENT_TYPE","type":"string"},{"name":"EVENT_VALUE","type":["float","null"]}],"version":"1.0"}`

// Avro writes a schema whose fields are given as name:type[?][/attribute], "?" for a union with null.
func Avro(name string, fields ...string) string {
	var out []string
	for _, f := range fields {
		f, attribute, _ := strings.Cut(f, "/")
		name, kind, _ := strings.Cut(f, ":")
		kind, nullable := strings.CutSuffix(kind, "?")
		text := fmt.Sprintf(`{"name":%q,"type":%q`, name, kind)
		if nullable {
			text = fmt.Sprintf(`{"name":%q,"type":["null",%q]`, name, kind)
		}
		if attribute != "" {
			text += fmt.Sprintf(`,%q:true`, attribute)
		}
		out = append(out, text+"}")
	}
	return fmt.Sprintf(`{"type":"record","name":%q,"namespace":"com.amazonaws.personalize.schema","fields":[%s],"version":"1.0"}`, name, strings.Join(out, ","))
}

// Parse is schema.Parse for texts that are valid.
func Parse(t testing.TB, text, domain string) *schema.Schema {
	t.Helper()
	s, err := schema.Parse(text, domain)
	if err != nil {
		t.Fatalf("parse %s: %v", text, err)
	}
	return s
}
