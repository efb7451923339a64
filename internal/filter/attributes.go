package filter

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/palate-dev/palate/internal/schema"
)

// An Attribute is one test of a batch segment query: an item's column has the value, or it is one of its values.
type Attribute struct {
	Column string
	Value  string // of a string unescaped, of a number as written
}

// ParseAttributes reads what the lines of a batch segment job select items by, a smaller language than that of filters:
//
//	query = test , { "AND" , test } ;
//	test  = "ITEMS" , "." , name , "=" , ( string | number ) ;
//
// Case counts in strings only. The error is a text for the customer.
func ParseAttributes(query string) ([]Attribute, error) {
	if !utf8.ValidString(query) {
		return nil, errors.New("itemAttributes is not valid UTF-8.")
	}
	p := &parser{scanner: scanner{src: query}}
	list, err := p.attributes()
	if fault := new(Error); errors.As(err, &fault) {
		return nil, fmt.Errorf("itemAttributes cannot be read at character %d: %s.", fault.Pos, fault.Msg)
	}
	return list, err
}

func (p *parser) attributes() (list []Attribute, err error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	for {
		f, err := p.field()
		if err != nil {
			return nil, err
		}
		if f.dataset != schema.Items {
			return nil, p.errorf(f.pos, "columns of Items can be tested only")
		}
		if !p.isSymbol("=") {
			return nil, p.expected("=")
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
		if p.tok.kind != stringToken && p.tok.kind != numberToken { // there are no placeholders here
			return nil, p.expected("a string or a number")
		}
		l, err := p.literal()
		if err != nil {
			return nil, err
		}
		list = append(list, Attribute{Column: strings.Clone(f.name), Value: strings.Clone(l.text)})
		if p.tok.kind == endToken {
			return list, nil
		}
		if _, err := p.word("AND"); err != nil {
			return nil, err
		}
	}
}
