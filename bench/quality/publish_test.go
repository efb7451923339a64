package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRunsAddUpInOneTable(t *testing.T) {
	dir := t.TempDir()
	page := filepath.Join(dir, "quality.md")
	if err := os.WriteFile(page, []byte("before\n"+begin+"old\n"+end+"after\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	row := func(set, protocol, method string, ndcg float64) figures {
		return figures{Set: set, Protocol: protocol, Method: method, Results: []result{{NDCG10: ndcg}}}
	}
	for _, run := range [][]figures{
		{row("films", "random split", "iALS", 0.4), row("films", "by time", "iALS", 0.3), row("films", "by time", "popularity", 0.1)},
		{row("books", "by time", "iALS", 0.2)},
		{row("films", "by time", "iALS", 0.35)}, // measured again
	} {
		if err := publish(dir, run); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, line := range strings.Split(string(text), "\n") {
		if cells := strings.Split(line, " | "); len(cells) > 3 && strings.HasPrefix(cells[3], "0") {
			got = append(got, strings.Join(cells[:4], " "))
		}
	}
	want := "| books by time iALS 0.2000;| films by time popularity 0.1000;| films by time iALS 0.3500;| films random split iALS 0.4000"
	if strings.Join(got, ";") != want {
		t.Errorf("the table has\n%s, not\n%s", strings.Join(got, ";"), want)
	}
	if !strings.HasPrefix(string(text), "before\n") || !strings.HasSuffix(string(text), "after\n") {
		t.Errorf("the page around the table has changed:\n%s", text)
	}
	if plot, err := os.ReadFile(filepath.Join(dir, "quality.svg")); err != nil || strings.Count(string(plot), "<title>") != 4 {
		t.Errorf("the plot lacks bars: %v\n%s", err, plot)
	}
}
