package receipt

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/palate-dev/palate/internal/hostile"
)

var testKey = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))

// signedExample is the file of a receipt with every member.
func signedExample(t testing.TB) []byte {
	t.Helper()
	r := example("job")
	r.Format, r.Number, r.Previous, r.Reapplied, r.Reason = Format, 1, NoPrevious, true, "found"
	r.Models[0].Replaced = r.Models[0].Manifest
	file, err := sign(&r, testKey)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// Whoever changes, adds or leaves out a member and writes the file anew, without the key, is noticed.
func TestEveryMemberIsSigned(t *testing.T) {
	file := signedExample(t)
	var whole map[string]any
	if err := json.Unmarshal(file, &whole); err != nil {
		t.Fatal(err)
	}
	tried := 0
	try := func(what string) {
		tried++
		text, err := canonical(whole)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(append(text, '\n'), nil); err == nil {
			t.Errorf("not noticed: %s", what)
		}
	}
	var visit func(path string, v any, set func(any))
	visit = func(path string, v any, set func(any)) {
		try2 := func(x any) {
			set(x)
			try(path)
			set(v)
		}
		switch v := v.(type) {
		case map[string]any:
			for name, member := range v {
				visit(path+"."+name, member, func(x any) { v[name] = x })
				delete(v, name)
				try(path + " without " + name)
				v[name] = member
			}
			v["more"] = 1
			try(path + ".more")
			delete(v, "more")
		case []any:
			for i, member := range v {
				visit(fmt.Sprint(path, "[", i, "]"), member, func(x any) { v[i] = x })
			}
			try2(append([]any{nil}, v...))
		case string:
			try2(v + "x")
		case float64:
			try2(v + 1)
		case bool:
			try2(!v)
		}
	}
	visit("", whole, func(any) {})
	if tried < 100 {
		t.Errorf("only %d changes were tried", tried)
	}
	var again map[string]any
	if err := json.Unmarshal(file, &again); err != nil {
		t.Fatal(err)
	}
	if text, err := canonical(again); err != nil || !bytes.Equal(append(text, '\n'), file) {
		t.Errorf("the file itself has another form: %v", err)
	}
	if _, err := Verify(file, testKey.Public().(ed25519.PublicKey)); err != nil {
		t.Error(err)
	}
}

func TestASignatureHasOneSpelling(t *testing.T) {
	file := signedExample(t)
	at := bytes.LastIndex(file, []byte(`==`)) - 1 // of the last base64 digit, four bits count
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		altered := bytes.Clone(file)
		altered[at] = c
		if _, err := Verify(altered, nil); (err == nil) != (c == file[at]) {
			t.Errorf("%c for %c: %v", c, file[at], err)
		}
	}
}

// Deletions of several groups may end at the same moment.
func TestDeletionsThatEndTogetherGetNumbersOfTheirOwn(t *testing.T) {
	b := OpenBook(filepath.Join(t.TempDir(), "receipts"))
	var all sync.WaitGroup
	const n = 12
	errs := make([]error, 2*n)
	for i := range errs {
		all.Go(func() { errs[i] = b.Append(example(fmt.Sprint("job-", i%n)), "", now) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if all, err := b.All(nil); err != nil || len(all) != n {
		t.Errorf("%d receipts, %v", len(all), err)
	}
}

func TestAFailedDeletionThatIsDoneAgainGetsAnotherReceipt(t *testing.T) {
	b, _ := append3(t)
	failed := example("again")
	failed.Status = "FAILED"
	for _, r := range []Receipt{failed, example("again"), failed} {
		if err := b.Append(r, "", now); err != nil {
			t.Fatal(err)
		}
	}
	namesake := example("again") // of a dataset group that was deleted and made again
	namesake.Erasure = "another"
	if err := b.Append(namesake, "", now); err != nil {
		t.Fatal(err)
	}
	all, err := b.All(nil)
	if err != nil || len(all) != 6 || all[3].Status != "FAILED" || all[4].Status != "COMPLETED" || all[5].Erasure != "another" {
		t.Errorf("%d receipts, %v", len(all), err)
	}
}

func TestADamagedReceiptIsNoticedAndStopsNoDeletion(t *testing.T) {
	b, _ := append3(t)
	if err := os.WriteFile(b.path(3, "json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.Append(example("later"), "", now); err != nil {
			t.Fatal(err)
		}
	}
	if numbers, err := b.numbers(); err != nil || !slices.Equal(numbers, []int64{1, 2, 3, 4}) {
		t.Errorf("%v, %v", numbers, err)
	}
	if _, err := b.All(nil); !errors.Is(err, ErrNotReceipt) {
		t.Errorf("the damage was not noticed: %v", err)
	}
	if r, _, err := b.Of(example("job-1").Job); err != nil || r.Number != 2 {
		t.Errorf("another receipt cannot be read any more: %v", err)
	}
}

func TestReceiptsThatCostMoreThanTheirSizeAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"nested":    `{"receipt":{"models":[{"manifest":` + strings.Repeat("[", 1<<20) + strings.Repeat("]", 1<<20) + `}]},"signature":""}`,
		"numbers":   `{"receipt":{"cut":1e999},"signature":""}`,
		"not UTF-8": "{\"receipt\":{\"format\":\"palate-receipt-1\",\"dataDeletionJobArn\":\"\xff\"},\"signature\":\"\"}",
		"too long":  strings.Repeat(" ", maxSize+1),
	} {
		if _, err := Verify([]byte(text), nil); err == nil {
			t.Errorf("accepted: %s", name)
		}
	}
}

// FuzzVerify: what is accepted has one spelling and a signature; what nobody signed with the given key is not. Nothing panics, and nothing costs more than its size.
func FuzzVerify(f *testing.F) {
	signed := signedExample(f)
	f.Add(signed)
	f.Add(signed[:len(signed)/2])
	f.Add([]byte(`{"receipt":{"format":"palate-receipt-1"},"signature":""}`))
	f.Add([]byte(`{"receipt":{},"receipt":{}}`))
	stranger := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize)).Public().(ed25519.PublicKey)
	own := testKey.Public().(ed25519.PublicKey)
	f.Fuzz(func(t *testing.T, file []byte) {
		var r *Receipt
		var err error
		hostile.Bound(t, len(file), func() {
			if _, err := Verify(file, stranger); err == nil {
				t.Fatal("a receipt that nobody signed was accepted")
			}
			r, err = Verify(file, nil)
		})
		if err != nil {
			return
		}
		if _, err := Verify(file, own); err == nil && string(bytes.TrimSuffix(file, []byte("\n"))) != strings.TrimSuffix(string(signed), "\n") {
			t.Fatalf("the key's owner signed something else than %s", file)
		}
		if !bytes.HasSuffix(file, []byte("}\n")) && !bytes.HasSuffix(file, []byte("}")) {
			t.Fatalf("accepted with something behind it: %q", file[len(file)-3:])
		}
		if err := Chain([]*Receipt{r}); err != nil && !errors.Is(err, ErrChain) {
			t.Fatal(err)
		}
	})
}

// FuzzCanonical: a canonical form is its own, and the value that encoding/json reads in the text.
func FuzzCanonical(f *testing.F) {
	for _, text := range []string{`{"b":[1e2,-0,0.1,1e21,1e-7],"a":"é\u2028<\ud83d\ude00"}`, `[null,true,{"":{}}]`, `9007199254740993`, `"\ud800"`, `-1e-400`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var once []byte
		var err error
		hostile.Bound(t, len(text), func() { once, err = canonical(json.RawMessage(text)) })
		if err != nil {
			return
		}
		if twice, err := canonical(json.RawMessage(once)); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%q -> %q -> %q, %v", text, once, twice, err)
		}
		var before, after any
		if err := json.Unmarshal(text, &before); err != nil {
			t.Fatalf("%q has a canonical form, but encoding/json says %v", text, err)
		}
		if err := json.Unmarshal(once, &after); err != nil || !reflect.DeepEqual(before, after) {
			t.Fatalf("%q -> %q is another value, %v", text, once, err)
		}
	})
}
