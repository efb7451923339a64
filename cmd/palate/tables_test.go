package main

import (
	"os"
	"strings"
	"testing"
)

func TestTheDocumentShowsTheLinesThatArePrinted(t *testing.T) {
	text, err := os.ReadFile("../../docs/open-tables.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, lines := range []string{pyicebergLines, sparkLines} {
		if !strings.Contains(string(text), "```python\n"+lines+"```\n") {
			t.Errorf("docs/open-tables.md does not have\n%s", lines)
		}
	}
}
