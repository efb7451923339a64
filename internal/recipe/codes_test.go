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
		var all []string // as many of the list as not, in steps of any length
		for i := range 300 {
			all = append(all, fmt.Sprint("item-", i*i), fmt.Sprint("item-", i*i+2), "")
			for k, got := range c.findAll(all, nil) {
				if want, _ := c.find(all[k]); got != want {
					t.Fatalf("%q of %d is at %d among others, want %d", all[k], n, got, want)
				}
			}
		}
	}
}
