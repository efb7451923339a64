package recipe

import (
	"fmt"
	"testing"
)

func TestCodesFindWhatTheListHas(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 1000, 4096} {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprint("item-", i*i))
		}
		c := newCodes(list)
		for i, s := range list {
			if got, ok := c.find(s); !ok || got != int32(i) {
				t.Errorf("%s of %d is at %d, want %d", s, n, got, i)
			}
		}
		for _, s := range []string{"", "item-", "item-2", "item-x"} {
			if got, ok := c.find(s); ok || got != -1 {
				t.Errorf("%q of %d is at %d", s, n, got)
			}
		}
	}
}
