package rowtext_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/palate-dev/palate/internal/rowtext"
)

func readUserList(r io.Reader) (ids []string, err error) {
	err = rowtext.ReadUserList(context.Background(), "users.csv", r, func(id string) { ids = append(ids, id) })
	return ids, err
}

func TestReadUserListGivesTheExactIDs(t *testing.T) {
	for _, c := range []struct {
		file string
		want []string
	}{
		{"USER_ID\nabc\n2a\n5basc\n", []string{"abc", "2a", "5basc"}},
		{"USER_ID\nabc", []string{"abc"}},
		{"\ufeffUSER_ID\r\nabc\r\n\r\n 2a \r\n", []string{"abc", " 2a "}},
		{"user_id\nabc\nabc\nABC\n", []string{"abc", "abc", "ABC"}},
		{"\"USER_ID\"\n\"a,b\"\n\"say \"\"x\"\"\"\n\"say \\\"y\\\"\"\n\"back\\\\slash\"\nback\\slash\n", []string{"a,b", `say "x"`, `say "y"`, `back\slash`, `back\slash`}},
		{"USER_ID\n\n\n", nil},
		{"USER_ID", nil},
		{"USER_ID\n" + strings.Repeat("é", 256), []string{strings.Repeat("é", 256)}},
	} {
		for name, r := range map[string]io.Reader{"whole": strings.NewReader(c.file), "bytewise": iotest.OneByteReader(strings.NewReader(c.file))} {
			got, err := readUserList(r)
			if err != nil {
				t.Errorf("%s %q: %v", name, c.file, err)
			} else if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s %q: (-want +got)\n%s", name, c.file, diff)
			}
		}
	}
}

func TestReadUserListRefusesOtherInputWithoutRepeatingIDs(t *testing.T) {
	const header = "Data deletion input must have a single USER_ID column."
	for _, c := range []struct{ name, file, want string }{
		{"empty object", "", header},
		{"no header", "CANARY\nb\n", header + " First failure: users.csv line 1."},
		{"other header", "ITEM_ID\nCANARY\n", header + " First failure: users.csv line 1."},
		{"two columns", "USER_ID,AGE\nCANARY,7\n", header + " First failure: users.csv line 1."},
		{"blank first line", "\nUSER_ID\nCANARY\n", header + " First failure: users.csv line 1."},
		{"two values", "USER_ID\na\n\nCANARY,7\n", header + " First failure: users.csv line 4."},
		{"long id", "USER_ID\nCANARY" + strings.Repeat("é", 251) + "\n", "Length cannot be more than 256 characters for USER_ID. If no values exceed the character limit, make sure your data follows the formatting guidelines " +
			"listed in https://docs.aws.amazon.com/personalize/latest/dg/data-prep-formatting.html. First failure: users.csv line 2, column USER_ID."},
		{"empty quotes", "USER_ID\n\"\"\n", "Input CSV has rows that do not conform to the dataset schema. First failure: users.csv line 2, column USER_ID. The value is empty and the field does not admit null."},
		{"open quote", "USER_ID\n\"CANARY\n", "Input CSV has rows that do not conform to the dataset schema. First failure: users.csv line 2, column USER_ID. A quoted value is not closed on its line."},
		{"not UTF-8", "USER_ID\nCANARY\xff\n", "Input CSV has rows that do not conform to the dataset schema. First failure: users.csv line 2, column USER_ID. The text is not valid UTF-8."},
		{"NUL", "USER_ID\nCANARY\x00\n", "Input CSV has rows that do not conform to the dataset schema. First failure: users.csv line 2, column USER_ID. The text holds a NUL character."},
		{"long line", "USER_ID\na\n" + strings.Repeat("CANARY", 1<<18), "Input CSV has rows that do not conform to the dataset schema. First failure: users.csv line 3. The line is longer than 1 MiB."},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := readUserList(strings.NewReader(c.file))
			if fault := new(rowtext.InputError); !errors.As(err, &fault) {
				t.Fatalf("%v is not an *rowtext.InputError", err)
			}
			if diff := cmp.Diff(c.want, err.Error()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	broken := errors.New("connection reset")
	_, err := readUserList(io.MultiReader(strings.NewReader("USER_ID\na\n"), iotest.ErrReader(broken)))
	if fault := new(rowtext.InputError); !errors.Is(err, broken) || errors.As(err, &fault) {
		t.Errorf("read error came back as %v", err)
	}
}

func TestReadUserListIDsStayValidAcrossBlocks(t *testing.T) {
	var file bytes.Buffer
	file.WriteString("USER_ID\n")
	want := make([]string, 150_000)
	for i := range want {
		want[i] = fmt.Sprintf("user,%d", i)
		fmt.Fprintf(&file, "\"user,%d\"\n", i)
	}
	got, err := readUserList(&file)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Error("ids changed after they were handed out")
	}
}
