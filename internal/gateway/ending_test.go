package gateway

import (
	"errors"
	"testing"
	"time"
)

// A part that has been received while its upload is on its way out belongs to what becomes of the upload, whichever of the two is noted first.
func TestAPartWaitsForTheEndOfItsUpload(t *testing.T) {
	for name, failure := range map[string]error{"aborted": nil, "not aborted": errors.New("no")} {
		t.Run(name, func(t *testing.T) {
			var p parts
			p.begin("up")
			late := make(chan bool)
			err := p.ending("up", func() error {
				go func() { late <- p.end("up") }()
				select {
				case <-late:
					t.Error("the part did not wait")
				case <-time.After(10 * time.Millisecond): // that it waits shows in nothing else
				}
				return failure
			})
			if !errors.Is(err, failure) {
				t.Fatal(err)
			}
			if got := <-late; got != (failure == nil) {
				t.Errorf("late is %v", got)
			}
			p.begin("up")
			if p.end("up") || len(p.arriving) > 0 {
				t.Error("something is kept of an upload that nobody works on")
			}
		})
	}
}
