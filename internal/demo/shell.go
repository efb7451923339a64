package demo

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// prologue prints what the commands of all steps need: where to send them, and a shell function that waits for what takes time.
func (s *story) prologue() {
	files := "The files that they read are written by palate demo --files DIR."
	if s.Files != "" {
		files = "The files that they read are in " + s.Files + "."
	}
	fmt.Fprintf(s.Out, "\nThe commands below do the same on a server of your own (palate serve). %s First of all:\n", files)
	s.commands(
		"export AWS_ENDPOINT_URL=http://127.0.0.1:4725 AWS_DEFAULT_REGION=us-east-1 AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any",
		`ready() { until aws personalize describe-$1 --$1-arn $2 --query '*.status' --output text | grep -E 'ACTIVE|COMPLETED|FAILED'; do sleep 1; done; }`)
}

func (s *story) commands(lines ...string) {
	for _, line := range lines {
		fmt.Fprintf(s.Out, "      $ %s\n", line)
	}
}

// ready is the command that waits for a resource: noun is its kind in the words of the command line.
func ready(noun, arn string) string { return "ready " + noun + " " + arn }

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// quote writes a value so that a shell hands it on as it is.
func quote(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// writeFiles writes what the printed commands read: the data, their schemas, and the list of who is to be deleted.
func (s *story) writeFiles() error {
	if s.Files == "" {
		return nil
	}
	files := map[string][]byte{"users-to-delete.csv": s.deletionList()}
	for _, in := range s.inputs {
		schema, err := in.schema()
		if err != nil {
			return err
		}
		files[in.name()+".csv"], files[in.name()+".json"] = in.csv, []byte(schema)
	}
	if err := os.MkdirAll(s.Files, 0o755); err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(s.Files, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// deletionList is the CSV of a data deletion job over the fan and the visitor.
func (s *story) deletionList() []byte {
	var list bytes.Buffer
	w := csv.NewWriter(&list)
	w.WriteAll([][]string{{"USER_ID"}, {s.fan}, {visitor}}) // into memory, which does not fail
	return list.Bytes()
}
