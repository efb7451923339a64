package recipe

import (
	"math"
	"testing"

	"github.com/palate-dev/palate/internal/dataset"
)

// The factors of a small column, counted by hand.
func TestSituationsFollowBayes(t *testing.T) {
	ev := makeEvents([]testEvent{
		{"u1", "a", "", 1, 0}, {"u1", "a", "", 2, 0}, {"u1", "b", "", 3, 0}, // tv twice: u1 has a there once
		{"u2", "a", "", 1, 0}, {"u2", "c", "", 2, 0}, // phone, nothing known
	})
	ev.Context = []dataset.EventColumn{{Name: "DEVICE", Levels: []string{"phone", "tv"}, Code: []int32{1, 1, 0, 0, -1}}}
	in := &input{ev: ev, items: ev.Items}
	s := in.situate(&ev.Context[0], func(int) bool { return true })
	for _, n := range s.total {
		s.all += int64(n)
	}
	if s.all != 3 { // a on tv, b on the phone, a on the phone
		t.Fatalf("%d pairs", s.all)
	}
	tv := s.at(1)[0]
	for item, want := range map[int32]float64{
		0: (1 + 10/3.) / (2 + 10) * 3,
		1: (0 + 10/3.) / (1 + 10) * 3,
		2: 1, // seen in no known situation
	} {
		if got := float64(tv.factor(item)); math.Abs(got-want) > 1e-6 {
			t.Errorf("item %s on tv: factor %v, want %v", ev.Items[item], got, want)
		}
	}
	if len(tv.head) != 1 || tv.head[0] != 0 {
		t.Errorf("head of tv: %v", tv.head)
	}
	if s := in.situate(&ev.Context[0], func(u int) bool { return u == 1 }); s.at(1) != nil {
		t.Error("a value that no user was in is a situation")
	}
}
