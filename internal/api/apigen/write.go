package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// renamed are the structures of one service whose Go name another service has taken.
var renamed = map[string]string{"PersonalizeEvents.MetricAttribution": "EventMetricAttribution"}

// kept are the members that are written even if they are empty: a tag may have the empty value.
var kept = map[string]bool{"Tag.tagValue": true}

// initialisms are written in capitals wherever they are a whole word of a member's name.
var initialisms = []string{"Arn", "Id", "Kms", "Uri", "Hpo", "Tps"}

func writeTypes(models []*model) string {
	var b strings.Builder
	taken := make(map[string]bool)
	for _, m := range models {
		for _, name := range slices.Sorted(maps.Keys(m.Shapes)) {
			s := m.Shapes[name]
			if s.Type != "structure" || s.Exception {
				continue
			}
			writeStruct(&b, m, m.goName(name), s, taken)
		}
		for _, name := range slices.Sorted(maps.Keys(m.Operations)) {
			if m.Operations[name].Output.Shape == "" {
				fmt.Fprintf(&b, "// %sResponse is empty: the service answers without a body.\ntype %[1]sResponse struct{}\n\n", name)
			}
		}
	}
	return b.String()
}

func writeStruct(b *strings.Builder, m *model, name string, s *shape, taken map[string]bool) {
	if taken[name] {
		panic("two services have a structure " + name + "; rename one")
	}
	taken[name] = true
	if len(s.Members) == 0 {
		fmt.Fprintf(b, "type %s struct{}\n\n", name)
		return
	}
	fmt.Fprintf(b, "type %s struct {\n", name)
	for _, x := range s.Members {
		tag := x.name + ",omitzero"
		if kept[name+"."+x.name] {
			tag = x.name
		}
		fmt.Fprintf(b, "%s %s `json:%q`\n", fieldName(x.name), m.fieldType(x.shape), tag)
	}
	b.WriteString("}\n\n")
}

func (m *model) goName(shape string) string {
	if name, ok := renamed[m.name+"."+shape]; ok {
		return name
	}
	return shape
}

// fieldType is the type of a member: numbers, booleans and structures are pointers, because absent differs from zero.
func (m *model) fieldType(shape string) string {
	switch t := m.elementType(shape); t {
	case "int", "float64", "bool":
		return "*" + t
	default:
		if m.Shapes[shape].Type == "structure" {
			return "*" + t
		}
		return t
	}
}

func (m *model) elementType(name string) string {
	s := m.Shapes[name]
	switch s.Type {
	case "string":
		return "string"
	case "integer":
		return "int"
	case "float", "double":
		return "float64"
	case "boolean":
		return "bool"
	case "timestamp":
		return "Time"
	case "structure":
		return m.goName(name)
	case "list":
		return "[]" + m.elementType(s.Member.Shape)
	case "map":
		return "map[string]" + m.elementType(s.Value.Shape)
	default:
		panic("shape " + name + " has the unknown type " + s.Type)
	}
}

// fieldName turns latestSolutionUpdate into LatestSolutionUpdate and kmsKeyArn into KMSKeyARN.
func fieldName(member string) string {
	var words []string
	start := 0
	for i, r := range member {
		if i > 0 && unicode.IsUpper(r) && !unicode.IsUpper(rune(member[i-1])) {
			words = append(words, member[start:i])
			start = i
		}
	}
	words = append(words, member[start:])
	for i, w := range words {
		w = strings.ToUpper(w[:1]) + w[1:]
		if slices.Contains(initialisms, w) {
			w = strings.ToUpper(w)
		}
		words[i] = w
	}
	return strings.Join(words, "")
}

func writeShapes(models []*model) string {
	var b strings.Builder
	for _, m := range models {
		fmt.Fprintf(&b, "// %s are the shapes that a request of the service can hold.\n", m.table("Shapes"))
		fmt.Fprintf(&b, "var %s = map[string]shape{\n", m.table("Shapes"))
		for _, name := range slices.Sorted(maps.Keys(m.requestShapes())) {
			fmt.Fprintf(&b, "%q: {%s},\n", name, shapeFields(m.Shapes[name]))
		}
		b.WriteString("}\n\n")
	}
	return b.String()
}

func shapeFields(s *shape) string {
	kind := s.Type
	if kind == "float" {
		kind = "double"
	}
	fields := []string{"kind: " + kind + "Kind"}
	add := func(format string, args ...any) { fields = append(fields, fmt.Sprintf(format, args...)) }
	if s.Min != nil && (*s.Min != 0 || kind == "double" || kind == "integer") {
		add("min: bound(%v)", int64(*s.Min))
	}
	if s.Max != nil {
		add("max: bound(%v)", int64(*s.Max))
	}
	if s.Pattern != "" {
		add("pattern: %s", quote(s.Pattern))
	}
	if s.GoPattern != "" {
		add("goPattern: %s", quote(s.GoPattern))
	}
	if len(s.Enum) > 0 {
		add("enum: %#v", s.Enum)
	}
	if s.Sensitive {
		add("sensitive: true")
	}
	switch s.Type {
	case "list":
		add("element: %q", s.Member.Shape)
	case "map":
		add("key: %q, element: %q", s.Key.Shape, s.Value.Shape)
	case "structure":
		add("members: []member{%s}", memberFields(s))
	}
	return strings.Join(fields, ", ")
}

func memberFields(s *shape) string {
	var list []string
	for _, x := range s.Members {
		text := fmt.Sprintf("{name: %q, shape: %q", x.name, x.shape)
		if slices.Contains(s.Required, x.name) {
			text += ", required: true"
		}
		list = append(list, text+"}")
	}
	return strings.Join(list, ", ")
}

func quote(pattern string) string {
	if strings.Contains(pattern, "`") {
		return fmt.Sprintf("%q", pattern)
	}
	return "`" + pattern + "`"
}

func writeOperations(models []*model) string {
	var b strings.Builder
	b.WriteString("import \"context\"\n\n")
	for _, m := range models {
		names := slices.Sorted(maps.Keys(m.Operations))
		fmt.Fprintf(&b, "// %s has the operations of the service of that name.\ntype %[1]s interface {\n", m.name)
		for _, name := range names {
			fmt.Fprintf(&b, "%s(context.Context, *%[1]sRequest) (*%[1]sResponse, error)\n", name)
		}
		fmt.Fprintf(&b, "}\n\n// %[1]sOperations binds every operation of the service to svc.\n", m.name)
		fmt.Fprintf(&b, "func %[1]sOperations(svc %[1]s) []Operation {\n", m.name)
		fmt.Fprintf(&b, "s := %s{shapes: %s, statuses: %s}\nreturn []Operation{\n", "service", m.table("Shapes"), m.table("Statuses"))
		for _, name := range names {
			writeOperation(&b, m, name)
		}
		b.WriteString("}\n}\n\n")
		writeStatuses(&b, m)
	}
	return b.String()
}

func writeOperation(b *strings.Builder, m *model, name string) {
	op := m.Operations[name]
	if op.Input.Shape != name+"Request" || op.Output.Shape != "" && op.Output.Shape != name+"Response" {
		panic("operation " + name + " breaks the naming of its request or response")
	}
	bind, target := "op", ""
	if op.Output.Shape == "" {
		bind = "opEmpty"
	}
	if m.Metadata.Protocol == "json" {
		target = m.Metadata.TargetPrefix + "." + name
	}
	fmt.Fprintf(b, "%s(s, %q, %q, %q, %q, svc.%[2]s),\n", bind, name, op.HTTP.Method, op.HTTP.RequestURI, target)
}

// writeStatuses writes the HTTP status of each modelled exception; the model of the control plane has none, which means 400.
func writeStatuses(b *strings.Builder, m *model) {
	fmt.Fprintf(b, "// %s are the exceptions that the service's model has, with their HTTP status.\n", m.table("Statuses"))
	fmt.Fprintf(b, "var %s = map[Code]int{\n", m.table("Statuses"))
	for _, name := range slices.Sorted(maps.Keys(m.Shapes)) {
		s := m.Shapes[name]
		if !s.Exception {
			continue
		}
		status := s.Error.HTTPStatusCode
		if status == 0 {
			status = 400
		}
		fmt.Fprintf(b, "%s: %d,\n", strings.TrimSuffix(name, "Exception"), status)
	}
	b.WriteString("}\n\n")
}

// table is the name of one of the service's tables: personalizeShapes.
func (m *model) table(suffix string) string {
	return strings.ToLower(m.name[:1]) + m.name[1:] + suffix
}

// writeFunc writes the one implementation of all three services that tests need.
func writeFunc(models []*model) string {
	var b strings.Builder
	b.WriteString("import (\"context\"\n\n\"github.com/palate-dev/palate/internal/api\")\n\n")
	for _, m := range models {
		for _, name := range slices.Sorted(maps.Keys(m.Operations)) {
			fmt.Fprintf(&b, "func (f Func) %s(ctx context.Context, in *api.%[1]sRequest) (*api.%[1]sResponse, error) {\n", name)
			fmt.Fprintf(&b, "return call[api.%sResponse](ctx, f, %[1]q, in)\n}\n\n", name)
		}
	}
	return b.String()
}
