package dataset

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
)

// prefixed is a string's index with its first eight bytes as a number, so that most comparisons of a sort touch no string.
type prefixed struct {
	prefix uint64
	index  int32
}

func prefixOf(s string) uint64 {
	if len(s) >= 8 {
		return binary.BigEndian.Uint64([]byte(s[:8]))
	}
	var b [8]byte
	copy(b[:], s)
	return binary.BigEndian.Uint64(b[:])
}

// sortedTexts returns the indices of texts in ascending order of the strings.
func sortedTexts(texts []string) []int32 {
	// What all strings begin with says nothing: ids are often of one form.
	skip := commonPrefix(texts)
	keys := make([]prefixed, len(texts))
	for i, s := range texts {
		keys[i] = prefixed{prefixOf(s[skip:]), int32(i)}
	}
	slices.SortFunc(keys, func(a, b prefixed) int {
		if a.prefix != b.prefix {
			return cmp.Compare(a.prefix, b.prefix)
		}
		return strings.Compare(texts[a.index], texts[b.index])
	})
	order := make([]int32, len(keys))
	for at, k := range keys {
		order[at] = k.index
	}
	return order
}

func commonPrefix(texts []string) int {
	if len(texts) == 0 {
		return 0
	}
	first, n := texts[0], len(texts[0])
	for _, s := range texts[1:] {
		n = min(n, len(s))
		if s[:n] == first[:n] {
			continue
		}
		for i := range n {
			if s[i] != first[i] {
				n = i
				break
			}
		}
	}
	return n
}

// rowSorter sorts blocks and keeps its memory for the next.
type rowSorter struct {
	order []int32
	next  []int32
	ranks []int32
	times []timedRow
}

type timedRow struct {
	time int64
	row  int32
}

// sorted returns the order in which compareRows puts the rows.
func (b *block) sorted() []int32 { return new(rowSorter).sort(b) }

// sort counts rows into their keys and compares within a key. The order is valid until the next call.
func (s *rowSorter) sort(b *block) []int32 {
	key := b.col(b.layout.key)
	s.ranks = resized(s.ranks, len(key.dict))
	for rank, code := range sortedTexts(key.dict) {
		s.ranks[code] = int32(rank)
	}
	s.next = resized(s.next, len(key.dict)+1) // where the next row of a rank goes
	clear(s.next)
	for _, code := range key.code {
		s.next[s.ranks[code]+1]++
	}
	for r := range key.dict {
		s.next[r+1] += s.next[r]
	}
	s.order = resized(s.order, b.n)
	for i, code := range key.code {
		r := s.ranks[code]
		s.order[s.next[r]] = int32(i)
		s.next[r]++
	}
	start := int32(0)
	for _, end := range s.next[:len(key.dict)] { // next has moved to the ends
		if end-start > 1 {
			s.sortKey(b, s.order[start:end])
		}
		start = end
	}
	return s.order
}

// resized returns a slice of n elements of any content, in the memory of s if it is large enough.
func resized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, n+n/8)
	}
	return s[:n]
}

// sortKey sorts the rows of one key.
func (s *rowSorter) sortKey(b *block, rows []int32) {
	if b.layout.time < 0 || b.col(b.layout.time).absent {
		b.sortEqual(rows)
		return
	}
	times := b.col(b.layout.time)
	s.times = resized(s.times, len(rows))
	for i, row := range rows {
		s.times[i] = timedRow{times.ints[row], row}
	}
	if len(rows) <= 24 {
		insertTimes(s.times)
	} else {
		slices.SortFunc(s.times, func(x, y timedRow) int { return cmp.Compare(x.time, y.time) })
	}
	start, equal := 0, false
	for i, t := range s.times {
		rows[i] = t.row
		if t.time == s.times[start].time {
			equal = equal || i > start
			continue
		}
		if equal {
			b.sortEqual(rows[start:i])
		}
		start, equal = i, false
	}
	if equal {
		b.sortEqual(rows[start:])
	}
}

func insertTimes(t []timedRow) {
	for i := 1; i < len(t); i++ {
		x, j := t[i], i
		for ; j > 0 && t[j-1].time > x.time; j-- {
			t[j] = t[j-1]
		}
		t[j] = x
	}
}

// sortEqual sorts rows of one key and time.
func (b *block) sortEqual(rows []int32) {
	slices.SortFunc(rows, func(x, y int32) int {
		if c := compareRest(b, int(x), b, int(y)); c != 0 {
			return c
		}
		return cmp.Compare(b.seq(int(x)), b.seq(int(y)))
	})
}
