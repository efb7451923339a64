package vec

func dotBytes(x, y []int8) int32 {
	if chosen.name == generic.name {
		return dotBytesGeneric(x, y)
	}
	return dotBytes256(&x[0], &y[0], len(x))
}

//go:noescape
func dotBytes256(x, y *int8, n int) int32
