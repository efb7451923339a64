package recipe

// Everything random is a pure function of a seed and of what it is about, most often a user's id, never of a row number or of a
// running state: so an erasure cannot change the draws of anybody else.

// mix is the finalizer of SplitMix64 (Steele, Lea and Flood, 2014): a bijection whose output bits all depend on all input bits.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// draw is 64 random bits for an id under a seed: FNV-1a over the id, mixed.
func draw(seed uint64, id string) uint64 {
	h := mix(seed) ^ 0xcbf29ce484222325
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * 0x100000001b3
	}
	return mix(h)
}

// uniform maps random bits to [0, 1).
func uniform(bits uint64) float64 { return float64(bits>>11) / (1 << 53) }
