package filter

import (
	"strings"
	"unicode/utf8"
)

// maxExpression is the limit on the characters of an expression.
const maxExpression = 2500

// Parse reads a filter expression. The error is an *Error.
func Parse(expr string) (*Filter, error) {
	p := &parser{scanner: scanner{src: expr}}
	if !utf8.ValidString(expr) {
		return nil, &Error{Pos: 1, Msg: "the expression is not valid UTF-8"}
	}
	if utf8.RuneCountInString(expr) > maxExpression {
		return nil, &Error{Pos: maxExpression + 1, Msg: "the expression is longer than 2500 characters"}
	}
	f, err := p.filter()
	if err != nil {
		return nil, err
	}
	if err := f.checkCombinations(); err != nil {
		return nil, err
	}
	return f, nil
}

// parser reads by recursive descent with one token of look-ahead.
type parser struct {
	scanner
	tok token
}

func (p *parser) advance() (err error) {
	p.tok, err = p.next()
	return err
}

func (p *parser) expected(what string) error {
	return p.errorf(p.tok.pos, "expected %s, found %s", what, p.tok.describe())
}

func (p *parser) isWord(word string) bool {
	return p.tok.kind == wordToken && strings.EqualFold(p.tok.text, word)
}

func (p *parser) isSymbol(text string) bool { return p.tok.kind == symbolToken && p.tok.text == text }

// word consumes one of the words and returns its index.
func (p *parser) word(words ...string) (int, error) {
	for i, w := range words {
		if p.isWord(w) {
			return i, p.advance()
		}
	}
	return 0, p.expected(strings.Join(words, " or "))
}

func (p *parser) symbol(text string) error {
	if !p.isSymbol(text) {
		return p.expected(text)
	}
	return p.advance()
}

func (p *parser) filter() (*Filter, error) {
	f := &Filter{source: p.src}
	if err := p.advance(); err != nil {
		return nil, err
	}
	for {
		r, err := p.rule()
		if err != nil {
			return nil, err
		}
		f.rules = append(f.rules, r)
		if p.tok.kind == endToken {
			return f, nil
		}
		if !p.isSymbol("|") {
			if r.ifs == nil {
				return nil, p.expected("AND, OR, IF, | or the end of the expression")
			}
			return nil, p.expected("AND, | or the end of the expression")
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
}

func (p *parser) rule() (r rule, err error) {
	r.pos = p.tok.pos
	verb, err := p.word("INCLUDE", "EXCLUDE")
	if err != nil {
		return r, err
	}
	r.exclude = verb == 1
	entity, err := p.word("ItemID", "ActionID", "UserID")
	if err != nil {
		return r, err
	}
	r.entity = Entity(entity)
	if _, err := p.word("WHERE"); err != nil {
		return r, err
	}
	for {
		conjunction, err := p.conjunction(p.field)
		if err != nil {
			return r, err
		}
		r.where = append(r.where, conjunction)
		if !p.isWord("OR") {
			break
		}
		if err := p.advance(); err != nil {
			return r, err
		}
	}
	if !p.isWord("IF") {
		return r, nil
	}
	if err := p.advance(); err != nil {
		return r, err
	}
	if r.ifs, err = p.conjunction(p.userField); err != nil {
		return r, err
	}
	if p.isWord("OR") {
		return r, p.errorf(p.tok.pos, "tests after IF can be joined by AND only")
	}
	return r, nil
}

// conjunction reads tests joined by AND whose left side is read by left.
func (p *parser) conjunction(left func() (field, error)) ([]*test, error) {
	var tests []*test
	for {
		t, err := p.test(left)
		if err != nil {
			return nil, err
		}
		tests = append(tests, t)
		if !p.isWord("AND") {
			return tests, nil
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
}

func (p *parser) test(left func() (field, error)) (*test, error) {
	f, err := left()
	if err != nil {
		return nil, err
	}
	t := &test{field: f, opPos: p.tok.pos}
	if t.op, err = p.operator(); err != nil {
		return nil, err
	}
	if t.op.set() {
		t.operand, err = p.set()
	} else {
		t.operand, err = p.operand()
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

// field reads the left side of a test after WHERE.
func (p *parser) field() (field, error) {
	f, err := p.reference()
	if err == nil && f.current {
		if f.dataset == currentUser {
			return f, p.errorf(f.pos, "CurrentUser can be used after IF only")
		}
		return f, p.errorf(f.pos, "CurrentItem can stand on the right of an operator only")
	}
	return f, err
}

// userField reads the left side of a test after IF.
func (p *parser) userField() (field, error) {
	f, err := p.reference()
	if err == nil && !(f.current && f.dataset == currentUser) {
		return f, p.errorf(f.pos, "tests after IF must be on CurrentUser")
	}
	return f, err
}

func (p *parser) reference() (f field, err error) {
	f.pos = p.tok.pos
	if p.tok.kind != wordToken {
		return f, p.expected("a field")
	}
	known := false
	for _, o := range owners {
		if p.isWord(o.name) {
			f.dataset, f.current, known = o.dataset, o.current, true
		}
	}
	if !known {
		return f, p.errorf(p.tok.pos, "%s is not a dataset", p.tok.text)
	}
	if err := p.advance(); err != nil {
		return f, err
	}
	if err := p.symbol("."); err != nil {
		return f, err
	}
	if p.tok.kind != wordToken {
		return f, p.expected("the name of a field")
	}
	f.name = p.tok.text
	return f, p.advance()
}

func (p *parser) operator() (op, error) {
	for o := opEqual; o <= opGreaterEqual; o++ {
		if p.isSymbol(o.String()) {
			return o, p.advance()
		}
	}
	switch {
	case p.isWord("IN"):
		return opIn, p.advance()
	case p.isWord("NOT_IN"):
		return opNotIn, p.advance()
	case p.isWord("NOT"):
		if err := p.advance(); err != nil {
			return 0, err
		}
		_, err := p.word("IN")
		return opNotIn, err
	}
	return 0, p.expected("an operator")
}

// operand reads the right side of a comparison.
func (p *parser) operand() (operand, error) {
	switch {
	case p.isSymbol("("):
		if err := p.advance(); err != nil {
			return nil, err
		}
		if p.tok.kind != placeholderToken {
			return nil, p.expected("a placeholder")
		}
		ph, err := p.placeholder()
		if err != nil {
			return nil, err
		}
		return ph, p.symbol(")")
	case p.tok.kind == placeholderToken:
		return p.placeholder()
	case p.tok.kind == wordToken:
		return p.currentItem()
	}
	at := p.tok.pos
	lit, err := p.literal()
	return &list{pos: at, literals: []literal{lit}}, err
}

// set reads the right side of IN and NOT IN.
func (p *parser) set() (operand, error) {
	at := p.tok.pos
	if p.tok.kind == placeholderToken {
		return p.placeholder()
	}
	if p.tok.kind == wordToken {
		return p.currentItem()
	}
	if err := p.symbol("("); err != nil {
		return nil, err
	}
	var o operand
	var err error
	switch {
	case p.isSymbol("*"):
		o, err = &anything{pos: p.tok.pos}, p.advance()
	case p.tok.kind == placeholderToken:
		o, err = p.placeholder()
	case p.tok.kind == wordToken:
		o, err = p.currentItem()
	default:
		o, err = p.literals(at)
	}
	if err != nil {
		return nil, err
	}
	if _, single := o.(*list); !single && p.isSymbol(",") {
		return nil, p.errorf(p.tok.pos, "IN takes either literals or exactly one placeholder, field or asterisk")
	}
	return o, p.symbol(")")
}

func (p *parser) literals(at pos) (operand, error) {
	l := &list{pos: at}
	for {
		if len(l.literals) > 0 && p.tok.kind == placeholderToken {
			return nil, p.errorf(p.tok.pos, "IN takes either literals or exactly one placeholder, field or asterisk")
		}
		lit, err := p.literal()
		if err != nil {
			return nil, err
		}
		l.literals = append(l.literals, lit)
		if !p.isSymbol(",") {
			return l, nil
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
}

func (p *parser) literal() (literal, error) {
	if p.tok.kind != stringToken && p.tok.kind != numberToken {
		return literal{}, p.expected("a string, a number or a placeholder")
	}
	lit := literal{pos: p.tok.pos, quoted: p.tok.kind == stringToken, text: p.tok.text}
	return lit, p.advance()
}

func (p *parser) placeholder() (operand, error) {
	ph := &placeholder{pos: p.tok.pos, name: p.tok.text}
	return ph, p.advance()
}

// currentItem reads a word on the right side of an operator.
func (p *parser) currentItem() (operand, error) {
	if p.isWord("true") || p.isWord("false") {
		return nil, p.errorf(p.tok.pos, "boolean fields and values cannot be used in filters")
	}
	if !p.isWord("CurrentItem") {
		return nil, p.expected("a string, a number, a placeholder or a field of CurrentItem")
	}
	f, err := p.reference()
	return &reference{field: f}, err
}
