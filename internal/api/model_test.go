package api

import (
	_ "embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

//go:embed testdata/shapes.txt
var modelText string

// reference is one service as testdata/shapes.txt has it.
type reference struct {
	scalars    map[string]string   // name -> "string | len 0..256"
	structures map[string][]string // name -> fields, each "name!: Type"
	empty      []string            // operations that answer without a body
	paths      map[string]string   // of the operations that are not POST /
}

func readReference(t *testing.T) map[string]*reference {
	t.Helper()
	all := make(map[string]*reference)
	var r *reference
	for line := range strings.Lines(modelText) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "service "):
			r = &reference{scalars: map[string]string{}, structures: map[string][]string{}, paths: map[string]string{}}
			all[strings.TrimPrefix(line, "service ")] = r
		case strings.HasPrefix(line, "operation "):
			w := strings.Fields(line)
			if w[4] == "-" {
				r.empty = append(r.empty, w[1])
			}
			r.paths[w[1]] = w[3]
		default:
			name, rest, _ := strings.Cut(line, " ")
			if body, ok := strings.CutPrefix(rest, "{"); ok {
				body = strings.TrimSpace(strings.TrimSuffix(body, "}"))
				r.structures[name] = []string{}
				if body != "" {
					r.structures[name] = strings.Split(body, ", ")
				}
			} else {
				r.scalars[name] = strings.TrimPrefix(rest, "| ")
			}
		}
	}
	return all
}

var tables = map[string]map[string]shape{
	"personalize":         personalizeShapes,
	"personalize-runtime": personalizeRuntimeShapes,
	"personalize-events":  personalizeEventsShapes,
}

// TestRequestShapesEqualTheModel renders the generated tables in the notation of the reference: members, their order, types, which are
// required, sizes of lists and maps.
func TestRequestShapesEqualTheModel(t *testing.T) {
	for name, r := range readReference(t) {
		shapes := tables[name]
		for s := range r.structures {
			if _, ok := shapes[s]; strings.HasSuffix(s, "Request") && !ok {
				t.Errorf("%s: request %s is missing", name, s)
			}
		}
		for s, row := range shapes {
			if row.kind != structureKind {
				continue
			}
			got := []string{}
			for _, m := range row.members {
				required := ""
				if m.required {
					required = "!"
				}
				got = append(got, m.name+required+": "+renderType(shapes, m.shape))
			}
			if diff := cmp.Diff(r.structures[s], got); diff != "" {
				t.Errorf("%s.%s (-model +table):\n%s", name, s, diff)
			}
		}
	}
}

func renderType(shapes map[string]shape, name string) string {
	s := shapes[name]
	size := ""
	if s.max != nil {
		size = fmt.Sprintf("(n %s..%v)", low(s), *s.max)
	}
	switch s.kind {
	case listKind:
		return "[" + renderType(shapes, s.element) + "]" + size
	case mapKind:
		return "{" + renderType(shapes, s.key) + ":" + renderType(shapes, s.element) + "}" + size
	default:
		return name
	}
}

func low(s shape) string {
	if s.min == nil {
		return "0"
	}
	return strconv.FormatFloat(*s.min, 'f', -1, 64)
}

// TestScalarsEqualTheModel does the same for lengths, bounds, patterns and enums.
func TestScalarsEqualTheModel(t *testing.T) {
	for name, r := range readReference(t) {
		for s, row := range tables[name] {
			if row.kind >= listKind {
				continue
			}
			want := strings.Replace(r.scalars[s], "float", "double", 1) // one to JSON
			if got := renderScalar(row); got != want {
				t.Errorf("%s.%s is %q, the model says %q", name, s, got, want)
			}
		}
	}
}

func renderScalar(s shape) string {
	var parts []string
	numeric := s.kind != stringKind
	if numeric && s.min != nil {
		parts = append(parts, fmt.Sprintf("min %.0f", *s.min))
	}
	if numeric && s.max != nil {
		parts = append(parts, fmt.Sprintf("max %.0f", *s.max))
	}
	if !numeric && s.max != nil {
		parts = append(parts, fmt.Sprintf("len %s..%v", low(s), *s.max))
	}
	if s.pattern != "" {
		parts = append(parts, "pattern `"+s.pattern+"`")
	}
	if len(s.enum) > 0 {
		parts = append(parts, "enum `"+strings.Join(s.enum, "` | `")+"`")
	}
	kind := s.kind.String()
	if len(parts) == 0 {
		return kind
	}
	return kind + " | " + strings.Join(parts, ", ")
}

// TestGoTypesEqualTheModel reads the generated source, because responses have no shape at run time.
func TestGoTypesEqualTheModel(t *testing.T) {
	got := generatedStructs(t)
	for name, r := range readReference(t) {
		for s, fields := range r.structures {
			var want []string
			for _, f := range fields {
				member, typ, _ := strings.Cut(f, ": ")
				want = append(want, strings.TrimSuffix(member, "!")+" "+goType(r, typ, true))
			}
			goName := s
			if name == "personalize-events" && s == "MetricAttribution" {
				goName = "EventMetricAttribution"
			}
			if diff := cmp.Diff(want, got[goName]); diff != "" {
				t.Errorf("%s (-model +generated):\n%s", goName, diff)
			}
			delete(got, goName)
		}
		for _, op := range r.empty {
			if fields, ok := got[op+"Response"]; !ok || len(fields) > 0 {
				t.Errorf("%sResponse is missing or not empty", op)
			}
			delete(got, op+"Response")
		}
	}
	if len(got) > 0 {
		t.Errorf("structures that no model has: %v", slices.Sorted(maps.Keys(got)))
	}
}

// generatedStructs maps each structure of types_gen.go to its fields: name on the wire and Go type.
func generatedStructs(t *testing.T) map[string][]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "types_gen.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	structs := make(map[string][]string)
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		var fields []string
		for _, f := range spec.Type.(*ast.StructType).Fields.List {
			tag := reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("json")
			fields = append(fields, strings.TrimSuffix(tag, ",omitzero")+" "+exprText(f.Type))
		}
		structs[spec.Name.Name] = fields
		return false
	})
	return structs
}

func exprText(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return "*" + exprText(e.X)
	case *ast.ArrayType:
		return "[]" + exprText(e.Elt)
	case *ast.MapType:
		return "map[" + exprText(e.Key) + "]" + exprText(e.Value)
	default:
		return e.(*ast.Ident).Name
	}
}

// goType translates a type in the notation of the reference.
func goType(r *reference, typ string, isField bool) string {
	typ, _, _ = strings.Cut(typ, "(")
	if inner, ok := strings.CutPrefix(typ, "["); ok {
		return "[]" + goType(r, strings.TrimSuffix(inner, "]"), false)
	}
	if inner, ok := strings.CutPrefix(typ, "{"); ok {
		_, element, _ := strings.Cut(strings.TrimSuffix(inner, "}"), ":")
		return "map[string]" + goType(r, element, false)
	}
	kind, _, _ := strings.Cut(r.scalars[typ], " ")
	plain := map[string]string{"integer": "int", "double": "float64", "float": "float64", "boolean": "bool"}[kind]
	switch {
	case kind == "string":
		return "string"
	case kind == "timestamp":
		return "Time"
	case plain == "":
		if typ == "MetricAttribution" && r.structures["PutEventsRequest"] != nil {
			typ = "EventMetricAttribution"
		}
		plain = typ
	}
	if isField {
		return "*" + plain
	}
	return plain
}

// operations are those that have a request; the ones that are not named with a path of their own are POST / with a response.
func (r *reference) operations() map[string]ModelOperation {
	all := make(map[string]ModelOperation)
	for s := range r.structures {
		if name, ok := strings.CutSuffix(s, "Request"); ok {
			path := r.paths[name]
			if path == "" {
				path = "/"
			}
			all[name] = ModelOperation{Path: path, Empty: slices.Contains(r.empty, name)}
		}
	}
	return all
}
