package vec

func dot(half *[DotLanes / 2]float32, x, y []float32) {
	switch chosen.name {
	case "avx512":
		dot512(half, &x[0], &y[0], len(x))
	case "avx2":
		dot256(half, &x[0], &y[0], len(x))
	default:
		dotGeneric(half, x, y)
	}
}

//go:noescape
func dot512(half *[DotLanes / 2]float32, x, y *float32, n int)

//go:noescape
func dot256(half *[DotLanes / 2]float32, x, y *float32, n int)
