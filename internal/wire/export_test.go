package wire

// RoomAfter is how many calls find room once so many have ended in each of two seconds.
func RoomAfter(least, perSecond int) (n int) {
	r := newRoom(least)
	for second := int64(1); second <= 3; second++ {
		r.measure(second * 1e9)
		r.ended.Add(int64(perSecond))
	}
	for r.enter() {
		n++
	}
	return n
}
