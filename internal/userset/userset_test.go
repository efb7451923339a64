package userset_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/palate-dev/palate/internal/hostile"
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

// sealed gives data the checksum that it needs to be looked at.
func sealed(data []byte) []byte {
	if len(data) < 20 {
		return data
	}
	body := data[:len(data)-4]
	return binary.LittleEndian.AppendUint32(slices.Clone(body), crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
}

// FuzzRead holds that an accepted serial form is the only one of its ids, however small the steps in which it comes.
func FuzzRead(f *testing.F) {
	for _, ids := range [][]string{nil, {""}, {"a", "b"}, {"user-1", "user-10", "user-2", "\xff", strings.Repeat("x", 300)}} {
		data, _ := userset.New(ids).AppendBinary(nil)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		data = sealed(data)
		var u *userset.Set
		var err error
		hostile.Bound(t, len(data), func() { u, err = userset.Read(iotest.HalfReader(bytes.NewReader(data))) })
		if err != nil {
			return
		}
		again, err := u.AppendBinary(nil)
		if err != nil || !bytes.Equal(data, again) {
			t.Fatalf("%x read as %x: %v", data, again, err)
		}
		ids := slices.Collect(u.All())
		if !slices.IsSorted(ids) || len(slices.Compact(ids)) != u.Len() {
			t.Fatalf("%x: ids %q", data, ids)
		}
		for _, id := range ids {
			if !u.Has(id) {
				t.Fatalf("%x: %q is not found", data, id)
			}
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
