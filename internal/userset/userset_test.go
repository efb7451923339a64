package userset_test

import (
	"bytes"
	"slices"
	"strconv"
	"testing"
	"testing/iotest"

	"github.com/palate-dev/palate/internal/userset"
	"pgregory.net/rapid"
)

func TestSetIsTheSortedSetOfWhatWasGiven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOf(rapid.OneOf(rapid.StringMatching(`[a-c]{0,3}`), rapid.String())).Draw(t, "ids")
		u := userset.New(ids)
		want := slices.Clone(ids)
		slices.Sort(want)
		want = slices.Compact(want)
		if got := slices.Collect(u.All()); !slices.Equal(got, want) || u.Len() != len(want) {
			t.Fatalf("set of %q holds %q, %d", ids, got, u.Len())
		}
		for _, id := range append(want, rapid.String().Draw(t, "probe"), "", "a") {
			if got := u.Has(id); got != slices.Contains(want, id) {
				t.Fatalf("Has(%q) = %v in %q", id, got, want)
			}
		}
		data, err := u.AppendBinary([]byte("before"))
		if err != nil {
			t.Fatal(err)
		}
		shuffled, _ := userset.New(rapid.Permutation(ids).Draw(t, "order")).AppendBinary([]byte("before"))
		if !bytes.Equal(data, shuffled) {
			t.Fatal("the serial form depends on the order of the ids")
		}
		again, err := userset.Read(iotest.HalfReader(bytes.NewReader(data[len("before"):])))
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.Collect(again.All()); !slices.Equal(got, want) {
			t.Fatalf("%q read back as %q", want, got)
		}
		for _, id := range want {
			if !again.Has(id) {
				t.Fatalf("%q was lost in the serial form", id)
			}
		}
	})
}

func TestTheNilSetIsEmpty(t *testing.T) {
	var u *userset.Set
	if u.Len() != 0 || u.Has("") || slices.Collect(u.All()) != nil {
		t.Error("the nil set has members")
	}
}

func TestReadNoticesEveryDamagedOrMissingByte(t *testing.T) {
	data, err := userset.New([]string{"alice", "bob", "carol", ""}).AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		if _, err := userset.Read(bytes.NewReader(data[:i])); err == nil {
			t.Errorf("accepted the first %d bytes of %d", i, len(data))
		}
		for bit := range 8 {
			damaged := bytes.Clone(data)
			damaged[i] ^= 1 << bit
			if _, err := userset.Read(bytes.NewReader(damaged)); err == nil {
				t.Errorf("accepted byte %d with bit %d flipped", i, bit)
			}
		}
	}
}

func FuzzRead(f *testing.F) {
	data, _ := userset.New([]string{"a", "b"}).AppendBinary(nil)
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		u, err := userset.Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		again, err := u.AppendBinary(nil)
		if err != nil || len(again) > len(data) {
			t.Fatalf("%x read as %x: %v", data, again, err)
		}
	})
}

func BenchmarkHas(b *testing.B) {
	builder := userset.NewBuilder()
	probes := make([]string, 1_000_000)
	for i := range probes {
		probes[i] = "user-" + strconv.Itoa(i*7919%2_000_003)
		builder.Add("user-" + strconv.Itoa(i))
	}
	set := builder.Set()
	i := 0
	for b.Loop() {
		set.Has(probes[i])
		if i++; i == len(probes) {
			i = 0
		}
	}
}
