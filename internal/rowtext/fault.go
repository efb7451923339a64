package rowtext

import "fmt"

// InputError is a fault of the customer's input. Its text is a failureReason: it says what is wrong and where, and never repeats a value of the input, which
// could be a user's id.
type InputError struct {
	Reason string // what is wrong, a sentence of the API's failure reasons
	File   string // object name
	Line   int64  // 1-based; 0 if the fault is not in one line
	Column string // column name, "" if the fault is not in one column
	Cause  string // one more sentence, without full stop
}

const reasonNotConforming = "Input CSV has rows that do not conform to the dataset schema."

func (e *InputError) Error() string {
	text := e.Reason
	if e.Line > 0 {
		text += fmt.Sprintf(" First failure: %s line %d", e.File, e.Line)
		if e.Column != "" {
			text += ", column " + e.Column
		}
		text += "."
	}
	if e.Cause != "" {
		text += " " + e.Cause + "."
	}
	return text
}

func reasonLength(limit int, column string) string {
	return fmt.Sprintf("Length cannot be more than %d characters for %s. If no values exceed the character limit, make sure your data follows the formatting guidelines listed in "+
		"https://docs.aws.amazon.com/personalize/latest/dg/data-prep-formatting.html.", limit, column)
}

// faultKind says what is wrong with a line or a value.
type faultKind uint8

const (
	noFault faultKind = iota
	countFault
	nullFault
	typeFault
	rangeFault
	lengthFault
	openQuoteFault
	closeQuoteFault
	bareQuoteFault
	encodingFault
	nulFault
	returnFault
)

func (f faultKind) cause(c Rule) string {
	switch f {
	case nullFault:
		return "The value is empty and the field does not admit null"
	case typeFault:
		return "The value is not of type " + c.kind.String()
	case rangeFault:
		return fmt.Sprintf("The value is not between %d and %d", c.low, c.high)
	case openQuoteFault:
		return "A quoted value is not closed on its line"
	case closeQuoteFault:
		return "A closing quote is not followed by a comma or the end of the line"
	case bareQuoteFault:
		return "A quote stands inside a value that is not quoted"
	case encodingFault:
		return "The text is not valid UTF-8"
	case nulFault:
		return "The text holds a NUL character"
	case returnFault:
		return "The text holds a carriage return"
	}
	return ""
}
