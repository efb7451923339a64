package shown

import (
	"fmt"
	"runtime"
	"testing"
	"time"
	"weak"
)

// What is forgotten is forgotten in memory, too, and the index is bounded however small answers are.
func TestTheIndexInMemoryIsBounded(t *testing.T) {
	const limit = 1 << 20
	for _, items := range []int{0, 1, 25} {
		t.Run(fmt.Sprint(items), func(t *testing.T) {
			l, err := Open(t.TempDir(), Options{Bytes: limit, Age: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			a := Answer{Target: "t", Group: "g", At: time.Now()}
			for i := range items {
				a.Items = append(a.Items, fmt.Sprintf("item-%07d", i))
			}
			all := map[weak.Pointer[segment]]bool{}
			for i := range 40_000 {
				l.Note(NewID(), a)
				if i%200 == 0 {
					if err := l.flush(); err != nil {
						t.Fatal(err)
					}
				}
				l.mu.Lock()
				all[weak.Make(l.last())] = true
				l.mu.Unlock()
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			entries := 0
			for _, s := range l.segments {
				entries += len(s.answers)
			}
			if most := limit/leastBytes + limit/leastBytes/segments + 200; entries > most || entries < 1000 {
				t.Errorf("%d answers are in the index, the limit is %d", entries, most)
			}
			runtime.GC()
			kept := 0
			for s := range all {
				if s.Value() != nil {
					kept++
				}
			}
			if kept != len(l.segments) || len(all) <= kept {
				t.Errorf("%d of %d segments are in memory, %d are in use", kept, len(all), len(l.segments))
			}
		})
	}
}
