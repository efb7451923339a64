package hostile

import (
	"runtime"
	"testing"
)

// failure is a test that notes whether it was failed.
type failure struct {
	testing.TB
	failed bool
}

func (f *failure) Helper() {}
func (f *failure) Fatalf(string, ...any) {
	f.failed = true
	runtime.Goexit()
}

var sink []byte

func TestBoundFailsAnInputThatTakesTooMuchMemory(t *testing.T) {
	for size, want := range map[int]bool{1 << 20: false, Memory + 1<<20: true} {
		f := &failure{TB: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			Bound(f, 1000, func() { sink = make([]byte, size) })
		}()
		<-done
		if f.failed != want {
			t.Errorf("%d bytes: failed %v, want %v", size, f.failed, want)
		}
	}
	sink = nil
}
