package recipe

import "testing"

// Of users who come in threes one each says as much as all do.
func TestSomeUsersSpanTheSpaceOfAll(t *testing.T) {
	seq := &sequences{items: 400, offsets: []int64{0}}
	for u := range 3000 {
		for k := range 20 {
			kind, n := u/3%8, mix(uint64(u/3*20+k))
			item := int32(kind*50 + int(n%50))
			if n>>32%10 == 0 {
				item = int32(n >> 16 % 400)
			}
			seq.item, seq.weight, seq.user = append(seq.item, item), append(seq.weight, one), append(seq.user, int32(u))
		}
		seq.offsets = append(seq.offsets, int64(len(seq.item)))
	}
	found := map[int]*filter{}
	for _, stride := range []int{1, 3} {
		f := newFilter(seq)
		if f.stride != 1 {
			t.Fatalf("of %d events one user in %d is looked at", len(seq.item), f.stride)
		}
		f.stride = stride
		if err := f.iterate(t.Context(), func(string, int64, int64) {}); err != nil {
			t.Fatal(err)
		}
		found[stride] = f
	}
	for i := range int32(400) {
		for j := range int32(400) {
			of := func(f *filter) (sum float64) {
				for k, x := range f.vector(i) {
					sum += float64(x * f.vector(j)[k])
				}
				return sum
			}
			if all, some := of(found[1]), of(found[3]); max(all-some, some-all) > 1e-3 {
				t.Fatalf("the product of %d and %d is %v, by all users %v", i, j, some, all)
			}
		}
	}
}
