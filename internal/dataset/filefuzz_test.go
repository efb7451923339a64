package dataset

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// boundMemory fails a fuzz target that keeps or takes much more memory than its input: 64 MiB beside it.
func boundMemory(t *testing.T, input int, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > uint64(64<<20+64*input) {
		t.Fatalf("%d MiB allocated for an input of %d bytes", took>>20, input)
	}
}

// dataFileBytes is a small data file as the engine writes it.
func dataFileBytes(t testing.TB, l *layout) []byte {
	t.Helper()
	var rows []Row
	fields := make([]int, len(l.cols))
	for c := range fields {
		fields[c] = c
	}
	for i := range 20 {
		v := make([]Value, len(l.cols))
		for c, col := range l.cols {
			switch {
			case col.kind == String:
				v[c] = str(string(rune('a' + i)))
			case i%3 > 0 || c < 3:
				v[c] = Value{Valid: true, Int: int64(i % 2), Float: float64(i)}
			}
		}
		rows = append(rows, Row{Values: v})
	}
	text, err := encodePut("t", l, fields, rows)
	if err != nil {
		t.Fatal(err)
	}
	var m memory
	m.add(memPut{first: 1, rows: len(rows), text: string(text)})
	files, err := writeMemory(t.TempDir(), l, m)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(files[0].path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// FuzzDataFile reads mutated data files: an error, or rows; no panic, no hang, no memory beyond the bound.
func FuzzDataFile(f *testing.F) {
	l := testLayout(f, everyKind(Interactions))
	whole := dataFileBytes(f, l)
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add(whole[len(whole)/2:])
	f.Add([]byte("PAR1\x00\x00\x00\x00PAR1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "f.parquet")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		boundMemory(t, len(data), func() { readEverything(path, l) })
	})
}

// readEverything decodes all columns of a file into text.
func readEverything(path string, l *layout) (out []byte, err error) {
	r, err := openFile(path, l, Put)
	if err != nil {
		return nil, err
	}
	defer r.close()
	for g := range r.groups() {
		for c := range l.cols {
			v, err := r.read(g, c)
			if err != nil {
				return nil, err
			}
			for i := range int(r.meta.RowGroups[g].NumRows) {
				x := v.value(i)
				out = appendValues(out, []Kind{l.cols[c].kind}, []Value{x})
			}
		}
	}
	return out, nil
}

// Every page has its CRC, and the footer's stands in the name.
func TestABitFlipInADataFileIsNoticed(t *testing.T) {
	l := testLayout(t, everyKind(Interactions))
	whole := dataFileBytes(t, l)
	end := len(whole) - 8
	footer := whole[end-int(binary.LittleEndian.Uint32(whole[end:])) : end]
	path := filepath.Join(t.TempDir(), dataFileName(&dataFile{footer: castagnoli(footer)}))
	write := func(data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(whole)
	want, err := readEverything(path, l)
	if err != nil || len(want) == 0 {
		t.Fatal(len(want), err)
	}
	wrong := 0
	for bit := 0; bit < 8*len(whole); bit += 11 { // all of them take half a minute
		data := bytes.Clone(whole)
		data[bit/8] ^= 1 << (bit % 8)
		write(data)
		if got, err := readEverything(path, l); err == nil && !bytes.Equal(got, want) {
			wrong++
			t.Errorf("bit %d of byte %d of %d: other values and no error", bit%8, bit/8, len(whole))
			if wrong == 10 {
				t.FailNow()
			}
		}
	}
}
