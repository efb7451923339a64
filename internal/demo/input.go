package demo

import (
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

//go:embed movietweetings
var films embed.FS

// An input is one CSV file to be imported, with the schema that fits it.
type input struct {
	kind   string // dataset type as the API spells it
	label  string // where it came from, for people
	header []string
	rows   [][]string
	csv    []byte
}

// load reads the user's files, or the films that come with the binary where no file is named.
func load(o Options) (interactions, items, users *input, err error) {
	if o.Interactions == "" {
		if interactions, err = embedded("Interactions", "interactions"); err != nil {
			return nil, nil, nil, err
		}
		items, err = embedded("Items", "items")
		return interactions, items, nil, err
	}
	if interactions, err = file("Interactions", o.Interactions); err != nil {
		return nil, nil, nil, err
	}
	if o.Items != "" {
		if items, err = file("Items", o.Items); err != nil {
			return nil, nil, nil, err
		}
	}
	if o.Users != "" {
		users, err = file("Users", o.Users)
	}
	return interactions, items, users, err
}

func embedded(kind, name string) (*input, error) {
	f, err := films.Open("movietweetings/" + name + ".csv.gz")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", name, err)
	}
	return parse(kind, "MovieTweetings", z)
}

func file(kind, path string) (*input, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			return nil, fmt.Errorf("unpack %s: %w", path, err)
		}
	}
	return parse(kind, filepath.Base(path), r)
}

func parse(kind, label string, r io.Reader) (*input, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", label, err)
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", label, err)
	}
	if len(rows) < 2 {
		return nil, fmt.Errorf("%s has no rows", label)
	}
	return &input{kind: kind, label: label, header: rows[0], rows: rows[1:], csv: text}, nil
}

// name is what the input is called where names are lower case: in files, jobs and resources.
func (in *input) name() string { return strings.ToLower(in.kind) }

// column returns the index of a column, -1 if there is none.
func (in *input) column(name string) int { return slices.Index(in.header, name) }

// A field of an Avro schema, as the API takes it.
type field struct {
	Name        string `json:"name"`
	Type        any    `json:"type"`
	Categorical bool   `json:"categorical,omitempty"`
}

// wellKnown are the columns whose type the service prescribes.
var wellKnown = map[string]any{
	"USER_ID": "string", "ITEM_ID": "string", "TIMESTAMP": "long", "EVENT_TYPE": "string",
	"EVENT_VALUE": []string{"float", "null"}, "CREATION_TIMESTAMP": []string{"long", "null"},
	"IMPRESSION": nullableText, "RECOMMENDATION_ID": nullableText, "EVENT_ATTRIBUTION_SOURCE": nullableText,
}

var nullableText = []string{"string", "null"}

// number is a decimal as imports read them.
var number = regexp.MustCompile(`^-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$`)

// schema describes the file: the service's own columns by name, others as numbers if all their values are, else as text; text that repeats is a category.
func (in *input) schema() (string, error) {
	fields := make([]field, len(in.header))
	usable := in.kind == "Interactions"
	for i, name := range in.header {
		if t, ok := wellKnown[name]; ok {
			fields[i] = field{Name: name, Type: t}
			continue
		}
		fields[i] = in.guess(i)
		if s, isText := fields[i].Type.([]string); fields[i].Categorical || isText && s[0] != "string" {
			usable = true
		}
	}
	if !usable {
		return "", errors.New(in.label + " has no column that is a number or a category: the service needs one beside the id")
	}
	text, err := json.Marshal(map[string]any{
		"type": "record", "name": in.kind, "namespace": "com.amazonaws.personalize.schema", "version": "1.0", "fields": fields,
	})
	return string(text), err
}

// guess looks at the values of column i.
func (in *input) guess(i int) field {
	distinct, filled, numbers := map[string]bool{}, 0, true
	for _, row := range in.rows {
		v := row[i]
		if v == "" {
			continue
		}
		filled++
		numbers = numbers && number.MatchString(v)
		if len(distinct) <= filled/2 {
			distinct[v] = true
		}
	}
	switch {
	case numbers && filled > 0:
		return field{Name: in.header[i], Type: []string{"double", "null"}}
	case len(distinct)*2 < filled:
		return field{Name: in.header[i], Type: nullableText, Categorical: true}
	}
	return field{Name: in.header[i], Type: nullableText}
}

// titles maps item ids to what a person calls them.
func titles(items *input) map[string]string {
	names := map[string]string{}
	if items == nil {
		return names
	}
	id, title := items.column("ITEM_ID"), items.column("TITLE")
	for _, name := range []string{"NAME", "DESCRIPTION"} {
		if title < 0 {
			title = items.column(name)
		}
	}
	if id < 0 || title < 0 {
		return names
	}
	for _, row := range items.rows {
		names[row[id]] = row[title]
	}
	return names
}
