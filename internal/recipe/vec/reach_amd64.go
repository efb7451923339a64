package vec

func reach(v, floor []float32) uint32 {
	if chosen.name == generic.name {
		return reachGeneric(v, floor)
	}
	return reach256(&v[0], &floor[0])
}

//go:noescape
func reach256(v, floor *float32) uint32
