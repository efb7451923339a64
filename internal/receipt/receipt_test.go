package receipt

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var now = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func example(job string) Receipt {
	return Receipt{
		Erasure: job, Job: "arn:aws:personalize:us-east-1:000000000000:data-deletion-job/" + job, Group: "arn:aws:personalize:us-east-1:000000000000:dataset-group/films",
		Status: "COMPLETED", Created: now, Hidden: now.Add(time.Second), Finished: now.Add(2 * time.Second), Cut: 4711,
		Input: Input{Users: 2, Digest: strings.Repeat("ab", 32)}, NumDeleted: 3,
		Datasets:     []Dataset{{Dataset: "arn:d", Type: "Interactions", Removed: 3, Before: Files{1, 10, "aa"}, After: Files{1, 7, "bb"}}},
		Models:       []Model{{Resource: "arn:m", Rebuilt: true, Before: "11", After: "22", Manifest: json.RawMessage(`{"z": 0.10, "a": [1e2, "é\u2028<"]}`)}},
		Verification: Verification{Clean: true, Places: []Place{{"table file", 4}, {"event log", 1}}}, Build: Build{"v1", "go1.26"},
	}
}

func append3(t *testing.T) (*Book, []*Receipt) {
	t.Helper()
	b := OpenBook(filepath.Join(t.TempDir(), "receipts"))
	var all []*Receipt
	for i := range 3 {
		if err := b.Append(example(fmt.Sprint("job-", i)), fmt.Sprint("salt-", i), now); err != nil {
			t.Fatal(err)
		}
		r, _, err := b.Numbered(int64(i + 1))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return b, all
}

func TestReceiptsAreNumberedChainedAndRead(t *testing.T) {
	b, written := append3(t)
	all, err := b.All(nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range all {
		if r.Number != int64(i+1) || r.Job != written[i].Job {
			t.Errorf("receipt %d is number %d of %s", i+1, r.Number, r.Job)
		}
	}
	if all[0].Previous != NoPrevious {
		t.Error("the first receipt names one before it")
	}
	public, err := b.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	r, file, err := b.Of(written[1].Job)
	if err != nil || r.Number != 2 {
		t.Fatal(r, err)
	}
	if _, err := Verify(file, public); err != nil {
		t.Error(err)
	}
	other, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(file, other); !errors.Is(err, ErrKey) {
		t.Errorf("another key: %v", err)
	}
	if _, _, err := b.Of("arn:none"); !errors.Is(err, ErrNone) {
		t.Errorf("no such job: %v", err)
	}
}

func TestAJobHasOneReceipt(t *testing.T) {
	b, written := append3(t)
	repeated := example("job-1")
	repeated.Finished = now.Add(time.Hour)
	if err := b.Append(repeated, "another salt", now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	again, _, err := b.Of(repeated.Job)
	if err != nil {
		t.Fatal(err)
	}
	if again.Number != 2 || !again.Finished.Equal(written[1].Finished) {
		t.Errorf("a repeated job got receipt %d", again.Number)
	}
	if all, err := b.All(nil); err != nil || len(all) != 3 {
		t.Errorf("%d receipts, %v", len(all), err)
	}
}

func TestEveryByteIsSigned(t *testing.T) {
	b, written := append3(t)
	_, file, err := b.Of(written[0].Job)
	if err != nil {
		t.Fatal(err)
	}
	public, err := b.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(file) - 1 { // all but the line end
		for _, flip := range []byte{1, 0x20} {
			altered := append([]byte(nil), file...)
			altered[i] ^= flip
			if _, err := Verify(altered, public); err == nil {
				t.Fatalf("byte %d can be altered: %q", i, altered[max(0, i-20):min(len(altered), i+20)])
			}
		}
	}
	for _, altered := range []string{
		" " + string(file), string(file) + " ", string(file) + "{}", strings.Replace(string(file), `{"receipt"`, `{"more":1,"receipt"`, 1),
		strings.Replace(string(file), `"cut":4711`, `"cut":4712`, 1), strings.Replace(string(file), `"cut":4711`, `"cut":4711,"cut":4711`, 1), "", "{}", "null", "[]",
	} {
		if _, err := Verify([]byte(altered), public); err == nil {
			t.Errorf("accepted: %.60q", altered)
		}
	}
}

func TestABrokenChainIsFound(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, dir string){
		"the middle is missing": func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "00000002.json")) },
		"the first is missing":  func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "00000001.json")) },
		"two changed places": func(t *testing.T, dir string) {
			a, b := filepath.Join(dir, "00000001.json"), filepath.Join(dir, "00000002.json")
			for _, r := range [][2]string{{a, a + "x"}, {b, a}, {a + "x", b}} {
				if err := os.Rename(r[0], r[1]); err != nil {
					t.Fatal(err)
				}
			}
		},
		"one was signed again with another key": func(t *testing.T, dir string) {
			r := example("job-1")
			r.Format, r.Number, r.Previous = Format, 2, NoPrevious
			_, key, err := ed25519.GenerateKey(nil)
			if err != nil {
				t.Fatal(err)
			}
			file, err := sign(&r, key)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "00000002.json"), file, 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := append3(t)
			damage(t, b.dir)
			if _, err := b.All(nil); err == nil {
				t.Error("not noticed")
			}
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func TestSaltIsGivenOnceAndExpires(t *testing.T) {
	b, _ := append3(t)
	if salt, err := b.TakeSalt(2); err != nil || salt != "salt-1" {
		t.Fatal(salt, err)
	}
	if _, err := b.TakeSalt(2); !errors.Is(err, ErrNone) {
		t.Errorf("taken twice: %v", err)
	}
	if err := b.Append(example("later"), "", time.Now().Add(saltLife+time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.TakeSalt(1); !errors.Is(err, ErrNone) {
		t.Errorf("taken after it expired: %v", err)
	}
}

func TestThePrivateKeyIsReadableByTheServerOnly(t *testing.T) {
	b, _ := append3(t)
	info, err := os.Stat(filepath.Join(b.dir, keyFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info.Mode(), err)
	}
	public, err := b.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	text, err := EncodePublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := ParsePublicKey(text); err != nil || !back.Equal(public) {
		t.Error(back, err)
	}
}

// The first two are examples of RFC 8785, sections 3.2.2 and 3.2.3.
func TestCanonicalForm(t *testing.T) {
	for in, want := range map[string]string{
		`{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}`:                                        `{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
		`{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}`: "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u0080\":\"Control\",\"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",\"😀\":\"Emoji: Grinning Face\",\"\ufb33\":\"Hebrew Letter Dalet With Dagesh\"}",
		`{"b": {}, "a": [], "c": -0, "d": "<&>\u2028\b\f\t"}`: "{\"a\":[],\"b\":{},\"c\":0,\"d\":\"<&>\u2028\\b\\f\\t\"}",
	} {
		got, err := canonical(json.RawMessage(in))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
	if _, err := canonical(json.RawMessage(`9007199254740993`)); err == nil {
		t.Error("an integer that is no double was accepted")
	}
}
